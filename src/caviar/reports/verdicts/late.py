"""Does the metric still jump about at the end? Then the best epoch is partly luck."""

import numpy as np

from caviar.reports.noise import jitter
from caviar.reports.verdicts.base import Evidence, Verdict, short

NAME = "late variance"
SHARE = 0.05  # of what training gained


def late(evidence: Evidence) -> Verdict:
    """Warn where the top trials' metric jumps by over 5 % of what training gained, late in training."""
    curves = [evidence.curve(n, evidence.metric or "") for n in evidence.top.index]
    curves = [curve for curve in curves if len(curve) >= 8]
    if len(curves) < 3:
        return Verdict(NAME, "unknown", "fewer than 3 top trials logged the metric for 8 epochs.")
    noise = float(np.median([jitter(curve) for curve in curves]))
    gain = float(np.median([np.ptp(curve) for curve in curves]))
    told = (
        f"in the last third of training {evidence.metric} varies by {short(noise)} (standard deviation "
        f"about its trend), {noise / max(gain, 1e-12):.0%} of what training gained"
    )
    if noise <= SHARE * gain:
        return Verdict(NAME, "pass", f"{told}.")
    command = evidence.rerun("scheduler=cosine") if evidence.has("scheduler") else None
    return Verdict(NAME, "warn", f"{told}: decay the learning rate.", command)
