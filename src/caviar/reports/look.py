"""A sweep's tables as its figures need them."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from caviar.base.direction import sign_of
from caviar.space.hyperparameters import Choice, Hyperparameter
from caviar.zoom.coordinates import position

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from caviar.reading.sweep import Sweep


class Look:
    """A sweep, with what several figures need of it; computed when first asked for.

    Attributes:
        sweep: as `caviar.load` gives it.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep

    @property
    def single(self) -> bool:
        """Whether there is one objective, and so a best trial."""
        return len(self.sweep.directions) == 1

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is."""
        return sign_of(next(iter(self.sweep.directions), None))

    @cached_property
    def losses(self) -> Series:
        """The complete trials' scores, less is better, best first, by trial; finite ones.

        None where it is not known which direction is better.
        """
        import numpy as np
        import pandas as pd

        table = self.sweep.trials
        if not self.sweep.directions:
            return pd.Series(dtype=float, index=table.index[:0])
        values = table["value" if self.single else "value_0"] * self.sign
        kept = (table["state"] == "COMPLETE") & np.isfinite(values)
        return values[kept].sort_values(kind="stable")

    def values(self, h: Hyperparameter) -> Series:
        """A hyperparameter's values in the complete trials that have it, best trial first."""
        column = self.sweep.column(h.name)
        if column not in self.sweep.trials:
            return self.losses.iloc[:0]
        found = self.sweep.trials.loc[self.losses.index, column]
        return found[[_there(value) for value in found]]

    def places(self, h: Hyperparameter) -> Series:
        """`values` as positions from 0 to 1 on the scale; for a choice, the option's number."""
        found = self.values(h)
        return found.map(lambda value: place(h, value)).astype(float)

    @cached_property
    def curves(self) -> DataFrame:
        """All metrics by trial and epoch, the last row of an epoch for each."""
        table = self.sweep.metrics
        table = table[table["epoch"].notna()]
        return table.groupby(["trial", "epoch"]).last()


def place(h: Hyperparameter, value: Any) -> float:
    """The position of a value on its hyperparameter's scale, 0 to 1; NaN for one that has none.

    A value outside the space, as of a trial from before its bounds were changed, is at the nearest end.
    """
    try:
        if isinstance(h, Choice):
            return float([h.to_study(o) for o in h.options].index(h.to_study(value)))
        return min(max(float(position(h, value)), 0.0), 1.0)
    except (ValueError, TypeError, OverflowError):
        return math.nan


def _there(value: Any) -> bool:
    return isinstance(value, list | dict | str) or (value is not None and value == value)
