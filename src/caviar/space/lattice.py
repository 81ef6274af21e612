"""The points of a range with fractions, each made when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import overload

MOST_STEPS = 10_000_000
"""Farther from 0 than so many steps Optuna's own check of a value fails, by rounding."""


class Lattice(Sequence[float]):
    """``start``, ``start + step``, … below ``stop``, as their decimals have it: 0.1 * 3 is 0.3.

    Args:
        start, stop, step: finite; at least one point, and ``step`` above 0.
    """

    def __init__(self, start: float, stop: float, step: float) -> None:
        self._start, self._step = Fraction(str(start)), Fraction(str(step))
        self._count = math.ceil((Fraction(str(stop)) - self._start) / self._step)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> list[float]: ...

    def __getitem__(self, index: int | slice) -> float | list[float]:
        places = range(self._count)[index]
        return self.at(places) if isinstance(places, int) else [self.at(i) for i in places]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value == self.nearest(value)

    def nearest(self, value: float) -> float:
        """The point nearest to a finite ``value``."""
        place = round((Fraction(value) - self._start) / self._step)
        return self.at(min(max(place, 0), self._count - 1))

    def at(self, place: int) -> float:
        """The point so many steps from the start, inside the lattice or beyond it."""
        return float(self._start + place * self._step)

    @property
    def exact(self) -> bool:
        """Whether the last point, as it is written, is a whole number of steps from the first."""
        last = self._count - 1
        return Fraction(str(self.at(last))) == self._start + last * self._step
