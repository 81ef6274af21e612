"""How much a score would change if the same trial were trained again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from caviar.reports.evidence import Curve, Evidence

KEPT, AVERAGED = 0.40, 1.56
"""Where a score is the mean of the last k epochs, its variance under retraining is ``KEPT + AVERAGED / k``
times that of late epochs: fitted to k of 1, 3, 5 and 10 on the accuracy and the loss of 8 trials over 12
seeds of five tables, where the ratio of standard deviations was 1.4, 0.96, 0.85 and 0.75 in the median."""
SHARED = 0.25
"""Of a score's variance under retraining, what all trials of one seed share: no luck of their own.
By the same five tables it was -0.01 to 0.41, in the median 0.29 (accuracy 0.20, loss 0.39)."""
LATE_SPREAD = 0.5
"""Of 30 trials' scores over 12 fresh seeds each (ten made-up tables) the standard deviation was 0.63 to 2.8
times, in the median 0.98 times, the jitter of late epochs: this is the spread of that ratio's logarithm."""


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a score under retraining, as far as it is known.

    Attributes:
        sd: its median.
        spread: the standard deviation of its logarithm.
        source: what it was estimated from.
    """

    sd: float
    spread: float
    source: str

    def quantiles(self, count: int) -> NDArray[np.float64]:
        """So many equally likely values of the standard deviation, shape ``(count,)``."""
        levels = (np.arange(count) + 0.5) / count
        return self.sd * np.exp(self.spread * ndtri(levels))


def noise_of(evidence: Evidence) -> Noise | None:
    """The noise of a sweep's scores, from what is there: repeated seeds, else late epochs.

    Trials with the same values and other seeds show it best. The late epochs of the top trials show
    less: they share their initialisation. None where neither is there, or neither moves.
    """
    step = step_of(evidence.complete["loss"])
    return _repeats(evidence) or late_noise(long_curves(evidence), evidence.averaged, step)


def shared_luck(evidence: Evidence) -> float:
    """The part of a score's variance that all trials of a sweep have in common: 0 where seeds differ."""
    return SHARED if evidence.complete["seed"].nunique() == 1 else 0.0


def step_of(scores: Iterable[float]) -> float:
    """What scores are whole multiples of, as a share of few samples is; 0 where they are of nothing."""
    gaps = np.diff(np.unique(np.round([*scores], 9)))
    if not len(gaps):
        return 0.0
    counts = gaps / gaps.min()
    return float(gaps.min()) if np.abs(counts - np.rint(counts)).max() < 0.01 else 0.0


def _repeats(evidence: Evidence) -> Noise | None:
    columns = [evidence.column(h) for h in evidence.space.hyperparameters]
    columns = [column for column in columns if column in evidence.complete]
    if not columns or evidence.complete["seed"].nunique() < 2:
        return None
    groups = evidence.complete.astype(dict.fromkeys(columns, str)).groupby(columns, dropna=False)
    spread = [(len(g) - 1, g["loss"].var()) for _, g in groups if g["seed"].nunique() > 1]
    freedom = sum(n for n, _ in spread)
    if freedom < 2:
        return None
    sd = float(np.sqrt(sum(n * variance for n, variance in spread) / freedom))
    # The standard deviation of a chi's logarithm.
    return Noise(sd, (1 / (2 * freedom)) ** 0.5, "repeated seeds") if sd > 0 else None


def long_curves(evidence: Evidence) -> list[Curve]:
    """The metric's curves of the top trials that have 8 epochs or more; none where fewer than 3 do."""
    curves = [evidence.curve(n, evidence.metric or "") for n in evidence.top.index]
    curves = [curve for curve in curves if len(curve) >= 8]
    return curves if len(curves) >= 3 else []


def late_noise(
    curves: Sequence[Curve], averaged: int | None = None, step: float = 0.0
) -> Noise | None:
    """The noise of scores, by the late epochs of some trials' curves; None where these do not move.

    Args:
        averaged: how many last epochs a score is the mean of; None where it is the best one's.
        step: what scores are whole multiples of: at the greatest one curves seem not to move, and yet what
            is rounded so is known to a variance of ``step**2 / 12`` (Sheppard's correction).
    """
    if not curves:
        return None
    kept = 1.0 if averaged is None else math.sqrt(KEPT + AVERAGED / averaged)
    sd = math.hypot(kept * late_jitter(curves), step / math.sqrt(12))
    return Noise(sd, LATE_SPREAD, "late epochs") if sd > 0 else None


def late_jitter(curves: Sequence[Curve]) -> float:
    """The mean of curves' standard deviations about a straight line through the last third, 4 epochs at
    least.
    """
    jitters = []
    for curve in curves:
        tail = curve[-max(4, len(curve) // 3) :]
        x = np.arange(len(tail))
        residuals = tail - np.polyval(np.polyfit(x, tail, 1), x)
        jitters.append(np.sqrt((residuals**2).sum() / (len(tail) - 2)))
    return float(np.mean(jitters))
