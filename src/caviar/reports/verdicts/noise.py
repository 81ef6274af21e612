"""How much a score would change if the same trial were trained again."""

import numpy as np

from caviar.reports.verdicts.base import Curve, Evidence


def retrain_noise(evidence: Evidence) -> tuple[float, str] | None:
    """The standard deviation of a score under retraining, and what it was estimated from.

    Trials with the same values and other seeds tell it; else the late epochs of the top trials, which
    tell less: they share their initialisation, so this is a lower bound. None where neither is there.
    """
    columns = [evidence.column(h) for h in evidence.space.hyperparameters]
    columns = [column for column in columns if column in evidence.complete]
    if columns and evidence.complete["seed"].nunique() > 1:
        groups = evidence.complete.astype(dict.fromkeys(columns, str)).groupby(columns)
        spread = [(len(g) - 1, g["loss"].var()) for _, g in groups if g["seed"].nunique() > 1]
        freedom = sum(n for n, _ in spread)
        if freedom >= 2:
            pooled = sum(n * variance for n, variance in spread) / freedom
            return float(np.sqrt(pooled)), "repeated seeds"
    curves = [evidence.curve(n, evidence.metric or "") for n in evidence.top.index]
    curves = [curve for curve in curves if len(curve) >= 8]
    if len(curves) < 3:
        return None
    return float(np.median([jitter(curve) for curve in curves])), "late epochs"


def jitter(curve: Curve) -> float:
    """Standard deviation about a straight line through the last third, 4 epochs at least."""
    tail = curve[-max(4, len(curve) // 3) :]
    x = np.arange(len(tail))
    residuals = tail - np.polyval(np.polyfit(x, tail, 1), x)
    return float(np.sqrt((residuals**2).sum() / (len(tail) - 2)))
