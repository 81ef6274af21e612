"""What a run is scored by: one metric, or several, each with a direction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from caviar.base.direction import sign_of

T = TypeVar("T")


def each(given: Any) -> list[Any]:
    """A setting of one objective or of several (``metric``, ``direction``) as a list, one an objective."""
    return [given] if given is None or isinstance(given, str) else list(given)


def first(given: Any) -> Any:
    """The setting of the first objective: it decides which epoch is the best."""
    return each(given)[0]


def as_given(items: Sequence[T]) -> T | list[T]:
    """One item by itself, several as a list: the inverse of `each`."""
    return items[0] if len(items) == 1 else list(items)


def signed(values: Sequence[float], directions: Sequence[str]) -> list[float]:
    """Scores as losses: less is better for each."""
    both = zip(values, directions, strict=True)
    return [sign_of(direction) * value for value, direction in both]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether losses are as good as others in every objective, and better in one."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and list(a) != list(b)


def front(losses: Sequence[Sequence[float]]) -> list[int]:
    """The places of those that no other dominates: the Pareto front."""
    return [
        place
        for place, mine in enumerate(losses)
        if not any(dominates(other, mine) for other in losses)
    ]


def labels(metric: Any, count: int) -> list[str]:
    """What each of ``count`` scores is called, where ``metric`` names all, one or none of them."""
    names = [str(name) for name in each(metric) if name is not None]
    if len(names) == count:
        return names
    name = names[0] if names else "value"
    return [name] if count == 1 else [f"{name} {index}" for index in range(count)]


def scores_in_words(names: Sequence[str], values: Sequence[float]) -> str:
    """``val/acc=0.9800, val/loss=0.0712``."""
    return ", ".join(f"{name}={value:.4f}" for name, value in zip(names, values, strict=True))
