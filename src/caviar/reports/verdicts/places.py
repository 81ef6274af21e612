"""Where the best trials lie on each hyperparameter's own scale, and how far chance alone would put them there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.space.hyperparameters import Hyperparameter

FALSE_ALARMS = 0.05
"""Of studies in which nothing matters, the share that may be warned of, all hyperparameters together."""


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

    def share(self, width: float, low: bool) -> float:
        """The share of the space within ``width`` of an end; where few values were tried, of those."""
        places = self.tried if low else 1 - self.tried
        distinct = np.unique(places.round(9))
        return max(width, float((distinct < width).mean())) if len(distinct) <= 20 else width

    @property
    def step(self) -> float:
        """The width of one value's cell; 0 where the values are continuous."""
        distinct = np.unique(self.tried.round(9))
        return 1 / len(distinct) if len(distinct) <= 20 else 0.0


def top_places(evidence: Evidence, least: int) -> Iterator[Places]:
    """The places on each hyperparameter that has an order, where ``least`` of the top trials have it."""
    table = evidence.complete
    for h in evidence.numeric:
        top = evidence.positions(evidence.top, h)
        best = evidence.positions(table.head(1), h)
        if len(best) and len(top) >= least:
            tried = evidence.positions(table, h)
            values = evidence.top[evidence.column(h)].dropna().to_numpy(float)
            yield Places(h, float(best[0]), top, tried, values)


def too_few(evidence: Evidence, name: str, fewest: int) -> Verdict | None:
    """The verdict where there are too few complete trials, or nothing that has an order."""
    count = len(evidence.complete)
    if count >= fewest and evidence.numeric:
        return None
    told = f"{count} complete trials" if evidence.numeric else "0 hyperparameters have an order"
    return Verdict(name, "unknown", f"{told}; {fewest} trials of numbers are needed to tell.")


def at_least(count: int, of: int, share: float) -> float:
    """The chance that ``count`` or more of ``of`` independent draws fall where a ``share`` of all do."""
    return sum(comb(of, i) * share**i * (1 - share) ** (of - i) for i in range(count, of + 1))


def within(width: float, of: int) -> float:
    """The chance that ``of`` uniform draws all lie within ``width`` of each other (David and Nagaraja,
    Order Statistics, section 2.3)."""
    width = min(width, 1.0)
    return of * width ** (of - 1) - (of - 1) * width**of
