"""Can the top trials be told apart, or is their order luck?"""

from collections.abc import Sequence

import numpy as np

from caviar.reports.verdicts.base import Curve, Evidence, Found, named, short


@named("top trials alike")
def alike(evidence: Evidence) -> Found:
    """Can the top trials be told apart, or is their order luck?

    Warn where others are within two standard deviations of a difference of the best trial.
    """
    found = retrain_noise(evidence)
    if len(evidence.complete) < 3:
        return "unknown", f"{len(evidence.complete)} trials are complete; it takes 3."
    if found is None:
        text = "the noise of retraining is not known: no seeds repeated, no curves of 8 epochs."
        return "unknown", text, f"caviar confirm {evidence.name}"
    noise, source = found
    margin = 2 * 2**0.5 * noise
    losses = evidence.complete["loss"]
    count = int((losses.iloc[1:] - losses.iloc[0] <= margin).sum())
    told = f"{short(margin)} of the best (twice the noise of a difference, by {source})"
    if not count:
        return "pass", f"no other trial is within {told}."
    return (
        "warn",
        f"{count} other trial{'s are' if count > 1 else ' is'} within {told}: "
        "their order may be luck.",
        f"caviar confirm {evidence.name}",
    )


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
    curves = long_curves(evidence)
    return (late_noise(curves), "late epochs") if curves else None


def long_curves(evidence: Evidence) -> list[Curve]:
    """The metric's curves of the top trials that have 8 epochs or more; none where fewer than 3 do."""
    curves = [evidence.curve(n, evidence.metric or "") for n in evidence.top.index]
    curves = [curve for curve in curves if len(curve) >= 8]
    return curves if len(curves) >= 3 else []


def late_noise(curves: Sequence[Curve]) -> float:
    """The median of curves' standard deviations about a straight line through the last third, 4 epochs at
    least.
    """
    return float(np.median([_jitter(curve) for curve in curves]))


def _jitter(curve: Curve) -> float:
    tail = curve[-max(4, len(curve) // 3) :]
    x = np.arange(len(tail))
    residuals = tail - np.polyval(np.polyfit(x, tail, 1), x)
    return float(np.sqrt((residuals**2).sum() / (len(tail) - 2)))
