"""A trial's values as a point of the unit cube, each on its own scale, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caviar.space.hyperparameters import Choice, Hyperparameter, Interval, Range
from caviar.space.space import Space

if TYPE_CHECKING:
    # Not to be imported here: scipy, which it brings, takes 0.3 s, and a report needs `position` alone.
    from caviar.zoom.surrogate import Array

ABSENT = 0.5
"""Where a hyperparameter stands in a trial that does not have it: no way off for any value."""


class Coordinates:
    """One column for a number, one for each option of a choice: two options are one unit apart.

    Attributes:
        columns: for each hyperparameter's name, its columns.
        groups: for each column, the number of its hyperparameter.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.columns: dict[str, slice] = {}
        self.groups: list[int] = []
        for number, h in enumerate(space.hyperparameters):
            size = len(h.options) if isinstance(h, Choice) else 1
            self.columns[h.name] = slice(len(self.groups), len(self.groups) + size)
            self.groups += [number] * size

    def point(self, values: Mapping[str, Any]) -> Array:
        """The point of a trial's values, as the run saw them; shape ``(columns,)``."""
        found = np.full(len(self.groups), ABSENT)
        for h in self.space.hyperparameters:
            if h.name not in values:
                continue
            if isinstance(h, Choice):
                label = h.to_study(values[h.name])
                hot = [h.to_study(option) == label for option in h.options]
                found[self.columns[h.name]] = np.array(hot) * np.sqrt(0.5)
            else:
                found[self.columns[h.name]] = position(h, values[h.name])
        return found

    def can_place(self, values: Mapping[str, Any]) -> bool:
        """Whether all of ``values`` have a place on their scales, be it outside of the space."""
        try:
            return bool(np.isfinite(self.point(values)).all())
        except (ValueError, TypeError, OverflowError):
            return False

    def values(self, point: Array) -> dict[str, Any]:
        """The values nearest to ``point``; what does not exist there is left out."""
        found: dict[str, Any] = {}
        for h in self.space.hyperparameters:
            if self.space.exists(h.name, found):
                part = point[self.columns[h.name]]
                found[h.name] = (
                    h.options[int(part.argmax())]
                    if isinstance(h, Choice)
                    else value_at(h, float(part[0]))
                )
        return found

    def snap(self, points: Array) -> Array:
        """Each of ``points`` moved to the nearest place that a trial can have."""
        found = np.full_like(points, ABSENT)
        taken: dict[str, tuple[NDArray[np.bool_], list[Any]]] = {}
        for h in self.space.hyperparameters:
            exists = np.ones(len(points), dtype=bool)
            for parent, allowed in self.space.conditions.get(h.name, {}).items():
                there, values = taken[parent]
                exists &= there & np.array([value in allowed for value in values])
            part = points[:, self.columns[h.name]]
            if isinstance(h, Choice):
                options = part.argmax(axis=1)
                taken[h.name] = exists, [h.options[option] for option in options]
                near = np.eye(len(h.options))[options] * np.sqrt(0.5)
            elif isinstance(h, Interval) and not h.integer:
                near = part.clip(0, 1)
            else:
                values = [value_at(h, place) for place in part[:, 0]]
                taken[h.name] = exists, values
                near = np.array([[position(h, value)] for value in values])
            found[:, self.columns[h.name]] = np.where(exists[:, None], near, ABSENT)
        return found

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Points of ``count`` independent draws from the space."""
        drawn = (self.space.draw(lambda h: h.from_unit(rng.random())) for _ in range(count))
        return np.array([self.point(values) for values in drawn])


def position(h: Hyperparameter, value: float) -> float:
    """Where a number lies between its bounds, from 0 to 1, on its scale."""
    if isinstance(h, Interval):
        low, high = h.scale.forward(h.low), h.scale.forward(h.high)
        return (h.scale.forward(value) - low) / (high - low)
    assert isinstance(h, Range)
    return (value - h.start) / h.step / max(len(h.values) - 1, 1)


def value_at(h: Hyperparameter, place: float) -> Any:
    """The number nearest to ``place``; the inverse of `position`."""
    place = min(max(place, 0.0), 1.0)
    if isinstance(h, Interval):
        low, high = h.scale.forward(h.low), h.scale.forward(h.high)
        value = min(max(h.scale.backward(low + place * (high - low)), h.low), h.high)
        return round(value) if h.integer else value
    assert isinstance(h, Range)
    return h.values[round(place * (len(h.values) - 1))]
