"""The points of a grid over a space; a hyperparameter that does not exist somewhere adds none there."""

from typing import Any

from caviar.errors import usage_error
from caviar.space.hyperparameters import Interval
from caviar.space.space import Space

POINTS = 5
"""How many points an interval has where nothing else is said."""


def combinations(space: Space, points: Any = None) -> list[dict[str, Any]]:
    """Every point of the grid, as the study holds it, by study name.

    Args:
        space: what is searched.
        points: how many points an interval has: a number for all, or a mapping by name, which may
            also thin out a range; None for `POINTS`.

    Raises:
        UsageError: a name that the space does not have, or fewer than one point.
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
    found: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {})]
    for h in space.hyperparameters:
        whole = everywhere if isinstance(h, Interval) else 10**9
        axis = h.spread(by_name.get(h.name, whole))
        found = [
            ({**seen, h.name: h.from_study(value)}, {**held, h.study_name: value})
            if exists
            else (seen, held)
            for seen, held in found
            for exists in [space.exists(h.name, seen)]
            for value in (axis if exists else [None])
        ]
    return [held for _, held in found]
