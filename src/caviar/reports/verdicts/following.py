"""What to do next: of all ways to go on, the one that is expected to gain most; or to stop."""

from __future__ import annotations

import numpy as np

from caviar.base.configs import value_at
from caviar.base.words import WHAT_NEXT
from caviar.reports.evidence import Evidence
from caviar.reports.model import gains
from caviar.reports.noise import long_curves
from caviar.reports.verdicts.base import Found, named, short
from caviar.reports.verdicts.course import longer
from caviar.reports.verdicts.design import budget
from caviar.reports.verdicts.ended import narrowed
from caviar.zoom.gain import SEEDS
from caviar.zoom.good import FEWEST

SEEN = (1.96 + 0.84) * (2 / SEEDS) ** 0.5
"""Standard deviations of retraining: a difference of means over `SEEDS` seeds that lies beyond 1.96
standard errors in four confirms of five (a power of 0.8: Cohen 1988, "Statistical power analysis")."""
_WAYS = {
    "zoom": "search the space that caviar zoom writes",
    "more": "search on in the same space",
    "below": "search below the cliff",
    "longer": "train twice as long",
}


@named(WHAT_NEXT)
def what_next(evidence: Evidence) -> Found:
    """Which way to go on is expected to gain most?

    Warn with that way where a confirm at its end would, in four cases of five, be seen to find better than
    a confirm now; else more search is over: stop.
    """
    complete = evidence.complete
    if len(complete) >= FEWEST and complete["loss"].nunique() == 1:
        finding = f"all {len(complete)} trials scored {short(complete['value'].iloc[0])}"
        return "pass", f"stop: {finding}: nothing in this space moves the score.", _use(evidence)
    below = narrowed(evidence)
    found = gains(evidence, [below] if below is not None else [])
    if found is None:
        return "unknown", f"{len(complete)} complete trials tell nothing of what to expect."
    gain = dict(found.of)
    last = doubled(evidence)
    if last is not None:
        gain["longer"] = last
    twice = 2 * len(evidence.trials)
    whole = str(value_at(evidence.settings, "sampler._target_")).endswith("GridSampler")
    commands = {
        "zoom": f"caviar zoom {evidence.name}",
        # A grid has no more.
        "more": None if whole else f"caviar resume {evidence.name} n_trials={twice}",
        "longer": longer(evidence).next,
        "below": evidence.rerun(f"{below.name}={below}") if below is not None else None,
    }
    usable = sorted((way for way in gain if commands[way]), key=lambda way: -gain[way])
    seen = SEEN * found.noise
    going = [way for way in usable if gain[way] > seen]
    if going:
        then = "; ".join(_WAYS[way] for way in going[1:])
        # No figure: on real sweeps it came out several times what was had, see `scripts/bench advice`.
        finding = f"{_WAYS[going[0]]}: of {len(usable)} ways to go on it is expected to gain most"
        model = "by a model of this sweep, which is often too hopeful"
        told = f"{finding} ({f'then: {then}; ' if then else ''}{model})."
        return "warn", told, commands[going[0]]
    if budget(evidence).status == "warn":
        told = f"{len(complete)} complete trials are too few to say that more would not pay."
        return "unknown", told
    return (
        "pass",
        "stop: more search will not be seen above the noise: beyond what fresh seeds for the best trials "
        f"find, as many trials again are expected to gain less than the {short(seen)} in "
        f"{evidence.metric or 'the score'} that ten fresh seeds show in four cases of five.",
        _use(evidence),
    )


def _use(evidence: Evidence) -> str:
    """How a search ends: by fresh seeds for its best, and then by its best."""
    if evidence.confirmed:
        return f"caviar runs best {evidence.name} --ckpt"
    return f"caviar confirm {evidence.name}"


def doubled(evidence: Evidence) -> float | None:
    """What trainings of twice the epochs are expected to gain, by the best trials' curves: what the
    second half of the epochs gained on the quarter before it, by as much less as that was less than
    that quarter had gained on the eighth before it.

    Of means, not of best epochs: the best of twice as many is better by luck alone.
    """
    curves = [-evidence.sign * curve for curve in long_curves(evidence)]
    if not curves:
        return None
    parts = [
        [curve[len(curve) // (2 * n) : len(curve) // n] for n in (4, 2, 1)] for curve in curves
    ]
    levels = np.array([[part.mean() for part in own] for own in parts])
    before, late = np.diff(levels, axis=1).mean(0)
    slower = min(late / before, 1.0) if late > 0 and before > 0 else 1.0
    return float(late * slower)
