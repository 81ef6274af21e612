"""The points of a grid over a space; a hyperparameter that does not exist somewhere adds none there."""

from math import prod
from typing import Any

from caviar.base.errors import UsageError, usage_error
from caviar.space.hyperparameters import Choice, Hyperparameter, Interval
from caviar.space.space import Space

POINTS = 5
"""How many points an interval has where nothing else is said."""

MOST_POINTS = 1_000_000
"""Points of a grid at most: each is made before the first trial, and takes some hundred bytes."""


def combinations(space: Space, points: Any = None) -> list[dict[str, Any]]:
    """Every point of the grid, as the study holds it, by study name.

    Args:
        points: how many points an interval has: a number for all, or a mapping by name, which may
            also thin out a range; None for `POINTS`.

    Raises:
        UsageError: a name that the space does not have, fewer than one point, or more than
            `MOST_POINTS` in all.
    """
    by_name = dict(points) if hasattr(points, "items") else {}
    everywhere = POINTS if by_name or points is None else points
    names = [h.name for h in space.hyperparameters]
    for name, count in [*by_name.items(), (None, everywhere)]:
        if name is not None and name not in names:
            raise usage_error("sampler.points", name, "not in the space", names)
        if not isinstance(count, int) or count < 1:
            key = "sampler.points" if name is None else f"sampler.points.{name}"
            raise usage_error(key, count, "must be a whole number, 1 or more")
    wanted = {h.name: _points(h, by_name.get(h.name), everywhere) for h in space.hyperparameters}
    if (total := prod(wanted.values())) > MOST_POINTS:
        longest = max(wanted, key=lambda name: wanted[name])
        raise UsageError(
            f"search=grid: it has up to {total:,} points ({longest}: {wanted[longest]:,}), and "
            f"{MOST_POINTS:,} at most can be laid out; sampler.points.NAME=5 thins out a hyperparameter, "
            "and search=random needs no list"
        )
    found: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {})]
    for h in space.hyperparameters:
        axis = h.spread(wanted[h.name])
        found = [
            ({**seen, h.name: h.from_study(value)}, {**held, h.study_name: value})
            if exists
            else (seen, held)
            for seen, held in found
            for exists in [space.exists(h.name, seen)]
            for value in (axis if exists else [None])
        ]
    return [held for _, held in found]


def _points(h: Hyperparameter, wanted: int | None, everywhere: int) -> int:
    """How many points a hyperparameter has on the grid, at most."""
    if isinstance(h, Choice):
        return len(h.options)
    if isinstance(h, Interval):
        points = everywhere if wanted is None else wanted
        return min(points, int(h.high - h.low) + 1) if h.integer else points
    held = len(h.values)  # type: ignore[attr-defined]
    return held if wanted is None else min(wanted, held)
