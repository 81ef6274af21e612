"""Which of two scores is the better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

DIRECTIONS = ("minimize", "maximize")


def sign_of(direction: str | None) -> int:
    """Times a score, it gives a loss: -1 where more is better, else 1."""
    return -1 if direction == "maximize" else 1


def better(value: float, than: float, direction: str) -> bool:
    """Whether ``value`` beats ``than``; a tie does not, and neither does NaN."""
    return value > than if direction == "maximize" else value < than


def directions(settings: Mapping[str, Any]) -> list[str]:
    """One an objective; none where ``sweep.yaml`` is lost, has no direction or an unknown one.

    Args:
        settings: what ``sweep.yaml`` holds.
    """
    found = settings.get("direction")
    named = cast("list[Any]", found) if isinstance(found, list) else [found]
    return [str(one) for one in named] if all(one in DIRECTIONS for one in named) else []


def sign(settings: Mapping[str, Any]) -> int | None:
    """1 where less is better, -1 where more is; None where there is no one best: see `no_best`."""
    named = directions(settings)
    if len(named) != 1:
        return None
    return sign_of(named[0])


def no_best(settings: Mapping[str, Any]) -> str:
    """Why there is no best trial, in words."""
    if (count := len(directions(settings))) > 1:
        front = "caviar runs best lists the Pareto front"
        return f"its {count} objectives have no one best: {front}"
    if not settings:
        why = "it has no sweep.yaml (any more)"
    elif settings.get("direction") is None:
        why = "its sweep.yaml has no direction"
    else:
        why = f"its sweep.yaml has direction={settings['direction']}, which is none"
    return f"{why}: whether more or less is better is not known, so none is called the best"
