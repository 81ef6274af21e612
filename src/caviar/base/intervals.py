"""A mean and the interval it lies in: Student's t, paired where the runs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from caviar.base.errors import UsageError


@dataclass(frozen=True)
class Estimate:
    """A mean of ``n`` values, and the interval that holds the true one."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"

    @property
    def side(self) -> int:
        """1 where the whole interval is above 0, -1 where it is below, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate:
    """The mean of ``values`` with its interval: mean ± t · s / √n (Student 1908).

    Raises:
        UsageError: there are fewer than two values.
    """
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        raise UsageError(f"an interval needs two values or more, and there are {len(found)}")
    # Of scipy.stats it would be the same, and a third of a second to import.
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # it has no stubs

    quantile = float(cast("Any", stdtrit)(len(found) - 1, (1 + level) / 2))
    half = quantile * found.std(ddof=1) / np.sqrt(len(found))
    mean = float(found.mean())
    return Estimate(mean, mean - float(half), mean + float(half), len(found))
