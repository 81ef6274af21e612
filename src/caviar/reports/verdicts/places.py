"""Where the best trials lie on each hyperparameter's own scale, and whether chance would put them there.

Chance picks among the places that were tried: a sampler that learns tries most where some trial was
good, be it by luck, and there its best trials would lie if nothing mattered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, lgamma

import numpy as np

from caviar.reports.verdicts.base import Evidence, Found
from caviar.space.hyperparameters import Hyperparameter

FALSE_ALARMS = 0.05
"""Of studies in which nothing matters, the share that may be warned of, all hyperparameters together;
of those by a sampler that learns, a few times as many are: its trials follow the scores."""
CELLS = 50


@dataclass(frozen=True)
class Places:
    """The places of the best trials, from 0 to 1 on the hyperparameter's scale.

    Attributes:
        h: the hyperparameter.
        best: of the best trial.
        top: of the top trials, the best included.
        tried: of all complete trials.
        values: the top trials' values.
    """

    h: Hyperparameter
    best: float
    top: np.ndarray
    tried: np.ndarray
    values: np.ndarray

    @property
    def cells(self) -> int:
        """How many values were tried; many stand for a continuum."""
        return min(len(np.unique(self.tried.round(9))), CELLS)

    def from_end(self, low: bool) -> tuple[float, np.ndarray]:
        """How far the best and all top trials are from the lower or the upper end."""
        return (self.best, self.top) if low else (1 - self.best, 1 - self.top)


def top_places(evidence: Evidence, least: int) -> Iterator[Places]:
    """The places on each hyperparameter that has an order, where ``least`` of the top trials have it."""
    table = evidence.complete
    for h in evidence.numeric:
        tried = evidence.positions(h)
        top = tried[tried.index.isin(evidence.top.index)]
        if table.index[0] in tried.index and len(top) >= least:
            values = evidence.top[evidence.column(h)].dropna().to_numpy(float)
            yield Places(h, float(top.iloc[0]), top.to_numpy(), tried.to_numpy(), values)


def too_few(evidence: Evidence, fewest: int) -> Found | None:
    """The verdict where there are too few complete trials, or nothing that has an order."""
    count = len(evidence.complete)
    if count >= fewest and evidence.numeric:
        return None
    told = f"{count} complete trials" if evidence.numeric else "0 hyperparameters have an order"
    return "unknown", f"{told}; {fewest} trials of numbers are needed to tell."


def as_near(total: float, of: int, tried: np.ndarray, cells: int) -> float:
    """The chance that ``of`` draws from ``tried``, rounded to ``cells`` even places, sum up to ``total``
    or less.
    """
    one = np.bincount(np.rint(tried.clip(0, 1) * (cells - 1)).astype(int)) / len(tried)
    chances = np.ones(1)
    for _ in range(of):
        chances = np.convolve(chances, one)
    return float(chances[: int(total * (cells - 1) + 1.5)].sum())


def within(width: float, of: int, tried: np.ndarray) -> float:
    """The chance that ``of`` of ``tried``, picked at random, all lie within ``width`` of each other.

    The lowest of them may be any; the others are then among those at most ``width`` above it.
    """
    places, n = np.sort(tried), len(tried)
    above = np.searchsorted(places, places + width + 1e-9, "right") - np.arange(1, n + 1)
    ways = [_log_ways(int(m), of - 1) for m in above if m >= of - 1]
    return sum(exp(w - _log_ways(n, of)) for w in ways)


def _log_ways(n: int, of: int) -> float:
    return lgamma(n + 1) - lgamma(of + 1) - lgamma(n - of + 1)
