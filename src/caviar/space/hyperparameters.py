"""The three kinds of hyperparameter, and what each is in an Optuna study.

A study holds every hyperparameter in a form that any Optuna tool plots on its proper axis. For
reverse_log that is ``1 - x`` on a log axis, under the name ``1 - optimizer.momentum``; the run sees x.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from caviar.base.errors import UsageError, usage_error
from caviar.space.lattice import MOST_STEPS, Lattice
from caviar.space.quoting import as_text
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG, Scale

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Optuna is imported where a distribution is made, and not before: a space is read and checked while
# the sweep starts, and the 0.3 s that the import takes pass while the workers come up.

LARGEST = 2**53
"""Whole numbers up to here have a place of their own in float64, in which a study keeps them."""


@dataclass(frozen=True)
class Hyperparameter(ABC):
    """One dimension of a space. ``name`` is the key that the run's config has."""

    name: str

    @property
    def study_name(self) -> str:
        """Its name in the study."""
        return self.name

    @cached_property
    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """Its distribution as the study records it."""

    @abstractmethod
    def from_unit(self, u: float) -> Any:
        """The value, as the study holds it, at quantile ``u`` in [0, 1) of its distribution."""

    def from_study(self, value: Any) -> Any:
        """What the run sees for a value that the study holds."""
        return value

    def to_study(self, value: Any) -> Any:
        """What the study holds for a value that the run sees; the inverse of `from_study`."""
        return value

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether the run may see this value."""

    @abstractmethod
    def spread(self, points: int) -> list[Any]:
        """At most ``points`` values, as the study holds them, evenly spread from end to end."""

    def _fault(self, problem: str) -> UsageError:
        return usage_error(self.name, self, problem)

    def _check_order(self, low: float, high: float) -> None:
        if not low < high:
            raise self._fault(f"low must be less than high, got {low} and {high}")

    def _check_whole(self, *bounds: float) -> None:
        for bound in bounds:
            if abs(bound) > LARGEST:
                why = f"{bound} is beyond 2**53, where float64 does not hold every whole number"
                raise self._fault(why)


@dataclass(frozen=True)
class Interval(Hyperparameter):
    """A number between two bounds, both included, uniform on its scale; ``interval(low, high)``.

    Raises:
        UsageError: ``low >= high``, a bound that has no place on the scale, or bounds that float64
            cannot hold, or cannot tell apart on the scale.
    """

    low: float
    high: float
    scale: Scale = LINEAR
    integer: bool = False

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if not (_finite(bound) and self.scale.holds(bound)):
                raise self._fault(f"{bound} is not {self.scale.domain}, as {self.scale.name} asks")
        self._check_order(self.low, self.high)
        if self.integer and self.scale is REVERSE_LOG:
            raise self._fault("reverse_log is for fractions below 1, not integers")
        if self.integer:
            self._check_whole(self.low, self.high)
        if not 0 < abs(self.scale.forward(self.high) - self.scale.forward(self.low)) < math.inf:
            far = self.high - self.low == math.inf
            apart = f"float64 cannot tell its ends apart on the {self.scale.name} scale"
            raise self._fault("its width is beyond float64" if far else apart)

    def __str__(self) -> str:
        text = f"interval({self.low}, {self.high})"
        text = text if self.scale is LINEAR else f"tag({self.scale.name}, {text})"
        return f"int({text})" if self.integer else text

    @property
    def study_name(self) -> str:
        return f"1 - {self.name}" if self.scale is REVERSE_LOG else self.name

    @cached_property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self.scale is LOG)
        if self.scale is REVERSE_LOG:
            return FloatDistribution(1 - self.high, 1 - self.low, log=True)
        return FloatDistribution(self.low, self.high, log=self.scale is LOG)

    def from_unit(self, u: float) -> Any:
        # Half a step beyond both ends gives the end integers the same share as the others.
        margin = 0.5 if self.integer else 0.0
        start = self.scale.forward(self.low - margin)
        stop = self.scale.forward(self.high + margin)
        value = self.scale.backward(start + u * (stop - start))
        value = min(max(value, self.low), self.high)
        return self.to_study(round(value) if self.integer else value)

    def from_study(self, value: Any) -> Any:
        return 1 - value if self.scale is REVERSE_LOG else value

    def to_study(self, value: Any) -> Any:
        if self.scale is not REVERSE_LOG:
            return value
        # 1 - x may round a hair past a bound that was itself rounded.
        return min(max(1 - value, 1 - self.high), 1 - self.low)

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int if self.integer else int | float)
        return number and not isinstance(value, bool) and self.low <= value <= self.high

    def spread(self, points: int) -> list[Any]:
        start, stop = self.scale.forward(self.low), self.scale.forward(self.high)
        positions = [start + (stop - start) * i / max(points - 1, 1) for i in range(points)]
        values = [min(max(self.scale.backward(p), self.low), self.high) for p in positions]
        if self.integer:
            values = list(dict.fromkeys(round(value) for value in values))
        return [self.to_study(value) for value in values]


@dataclass(frozen=True)
class Range(Hyperparameter):
    """A number on a lattice, as Hydra's ``range(start, stop, step)``: ``stop`` itself is excluded.

    Raises:
        UsageError: the lattice is empty, the step is not positive, or float64 cannot hold its points.
    """

    start: float
    stop: float
    step: float = 1

    def __post_init__(self) -> None:
        for number in (self.start, self.stop, self.step):
            if not _finite(number):
                raise self._fault(f"{number} is not finite")
        if self.step <= 0:
            raise self._fault("the step must be greater than 0")
        self._check_order(self.start, self.stop)
        if self.integer:
            self._check_whole(self.start, self.values[-1])
        elif max(abs(self.start), abs(self.stop)) > MOST_STEPS * self.step:
            why = f"its ends are more than {MOST_STEPS:,} steps from 0, which float64 cannot count"
            raise self._fault(f"{why}; an interval(…) needs no steps")
        elif not Lattice(self.start, self.stop, self.step).exact:
            why = "its points have more digits than float64 holds; an interval(…) needs no steps"
            raise self._fault(why)

    def __str__(self) -> str:
        return f"range({self.start}, {self.stop}, {self.step})"

    @property
    def integer(self) -> bool:
        return all(isinstance(number, int) for number in (self.start, self.stop, self.step))

    @cached_property
    def values(self) -> Sequence[Any]:
        """Every point of the lattice, none of which is made before it is asked for."""
        if self.integer:
            return range(int(self.start), int(self.stop), int(self.step))
        return Lattice(self.start, self.stop, self.step)

    @cached_property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        first, last = self.values[0], self.values[-1]
        if self.integer:
            return IntDistribution(first, last, step=int(self.step))
        return FloatDistribution(first, last, step=float(self.step))

    def from_unit(self, u: float) -> Any:
        return self.values[_index(u, len(self.values))]

    def from_study(self, value: Any) -> Any:
        # Optuna's own samplers reckon in floats, which may be a hair off.
        return self.values.nearest(value) if isinstance(self.values, Lattice) else value

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and self.start <= value <= self.stop):
            return False
        if self.integer:  # not asked of a float: a range would go through all its points
            return value % 1 == 0 and int(value) in self.values
        return value in self.values

    def spread(self, points: int) -> list[Any]:
        last = len(self.values) - 1
        if points > last:
            return list(self.values)
        return [self.values[round(i * last / max(points - 1, 1))] for i in range(points)]


@dataclass(frozen=True)
class Choice(Hyperparameter):
    """One of several options: values, lists, or the choices of a config group; ``choice(a, b)``.

    An Optuna category is a plain value, so a list or a mapping stands in the study as its JSON.

    Raises:
        UsageError: there is no option, or an option stands there twice.
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise self._fault("a choice needs at least one option")
        labels = [json.dumps(_category(option)) for option in self.options]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise self._fault(f"the option {twice} stands there twice")

    def __str__(self) -> str:
        if None in self.options:
            # Hydra's choice(…) refuses null; its list of values does not.
            return ",".join(map(as_text, self.options))
        return f"choice({', '.join(map(as_text, self.options))})"

    @cached_property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([_category(option) for option in self.options])

    def from_unit(self, u: float) -> Any:
        return _category(self.options[_index(u, len(self.options))])

    def from_study(self, value: Any) -> Any:
        return next(option for option in self.options if _same(_category(option), value))

    def to_study(self, value: Any) -> Any:
        return _category(value)

    def holds(self, value: Any) -> bool:
        return any(_same(_category(option), _category(value)) for option in self.options)

    def spread(self, points: int) -> list[Any]:
        # Categories have no order to thin them out by: a grid holds them all.
        return [_category(option) for option in self.options]


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond every float
        return False


def _index(u: float, count: int) -> int:
    return min(int(u * count), count - 1)


def _category(option: Any) -> Any:
    return json.dumps(option) if isinstance(option, list | dict) else option


def _same(a: Any, b: Any) -> bool:
    # In Python 1 == True == 1.0, but they are three different options.
    return type(a) is type(b) and (a == b or (a != a and b != b))
