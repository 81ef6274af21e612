"""What to do next: of all ways to go on, the one that is expected to gain most; or to stop."""

from __future__ import annotations

import numpy as np

from caviar.base.words import WHAT_NEXT
from caviar.reports.model import gains
from caviar.reports.verdicts.base import Evidence, Found, named, short
from caviar.reports.verdicts.course import longer
from caviar.reports.verdicts.ended import narrowed
from caviar.zoom.gain import SEEDS

SEEN = (2 / SEEDS) ** 0.5
"""Standard deviations of retraining: a difference of two means over `SEEDS` seeds has as much error."""
_WAYS = {
    "zoom": "search the space that caviar zoom writes",
    "more": "search on in the same space",
    "below": "search below the cliff",
    "longer": "train twice as long",
    "confirm": "train the five best over fresh seeds",
}
EPOCHS = 8
"""Epochs that curves need to tell what twice as many would gain."""


@named(WHAT_NEXT)
def what_next(evidence: Evidence) -> Found:
    """Which way to go on is expected to gain most?

    Warn with that way where its gain would be seen by a confirm; else more search is over: stop.
    """
    below = narrowed(evidence)
    found = gains(evidence, [below] if below is not None else [])
    if found is None:
        return (
            "unknown",
            f"{len(evidence.complete)} complete trials tell nothing of what to expect.",
        )
    gain = {way: one for way, one in found.of.items() if way != "confirm" or not evidence.confirmed}
    last = doubled(evidence)
    if last is not None and longer(evidence).next:
        gain["longer"] = last
    twice = 2 * len(evidence.trials)
    sampler = evidence.settings.get("sampler")
    whole = isinstance(sampler, dict) and str(sampler.get("_target_")).endswith("GridSampler")
    commands = {
        "zoom": f"caviar zoom {evidence.name}",
        # A grid has no more.
        "more": None if whole else f"caviar resume {evidence.name} n_trials={twice}",
        "confirm": f"caviar confirm {evidence.name}",
        "longer": longer(evidence).next,
        "below": evidence.rerun(f"{below.name}={below}") if below is not None else None,
    }
    usable = sorted((way for way in gain if commands[way]), key=lambda way: -gain[way])
    seen = SEEN * found.noise
    best, *rest = usable
    # Fresh seeds for the best are no search: they are how one ends.
    if any(gain[way] > seen for way in usable if way != "confirm"):
        then = "; ".join(_WAYS[way] for way in rest if gain[way] > seen)
        # No figure: on real sweeps it came out several times what was had, see `scripts/bench advice`.
        told = f"{_WAYS[best]}: of {len(usable)} ways to go on it is expected to gain most"
        model = "by a model of this sweep, which is often too hopeful"
        return "warn", f"{told} ({f'then: {then}; ' if then else ''}{model}).", commands[best]
    use = f"caviar runs best {evidence.name} --ckpt"
    return (
        "pass",
        "stop: more search will not be seen above the noise: as many trials again are expected to gain "
        f"less than the {short(seen)} in {evidence.metric or 'the score'} that ten fresh seeds show.",
        use if evidence.confirmed else commands["confirm"],
    )


def doubled(evidence: Evidence) -> float | None:
    """What trainings of twice the epochs are expected to gain, by the best trials' curves: what the
    second half of the epochs gained, by as much less as that was less than the half before gave.
    """
    curves = [evidence.curve(n, evidence.metric or "") for n in evidence.top.index]
    curves = [-evidence.sign * curve for curve in curves if len(curve) >= EPOCHS]
    if len(curves) < 3:
        return None
    best = np.array([[c[: len(c) // part].max() for part in (4, 2, 1)] for c in curves])
    before, late = np.diff(best, axis=1).mean(0)
    return float(late * min(late / before, 1.0)) if before > 0 else float(late)
