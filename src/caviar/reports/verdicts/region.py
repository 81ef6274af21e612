"""Is the good region small? Then most further trials here would be wasted."""

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict, short
from caviar.reports.verdicts.places import FALSE_ALARMS, too_few, top_places, within

NAME = "good region small"
FEWEST = 20
SMALL = 0.35  # share of the range, on the hyperparameter's own scale
END = 0.02


def region(evidence: Evidence) -> Verdict:
    """Warn where the top trials all lie in a third of a hyperparameter's range, away from its ends, and
    closer together than chance would put them.
    """
    if unknown := too_few(evidence, NAME, FEWEST):
        return unknown
    found = []
    for places in top_places(evidence, least=5):
        span = float(np.ptp(places.tried))
        if span == 0 or places.top.min() < END or places.top.max() > 1 - END:
            continue
        width = float(np.ptp(places.top))
        chance = within(width, len(places.top), places.tried)
        width /= span
        if width < SMALL and chance <= FALSE_ALARMS / len(evidence.numeric):
            low, high = short(places.values.min()), short(places.values.max())
            found.append(f"{places.h.name} {low} to {high} ({width:.0%} of what was tried)")
    if not found:
        return Verdict(
            NAME,
            "pass",
            f"no small part of a range, away from its ends, holds all {len(evidence.top)} best trials, "
            "more than chance would put there.",
        )
    return Verdict(
        NAME,
        "warn",
        f"the {len(evidence.top)} best of {len(evidence.complete)} trials lie in a small part of the "
        f"range: {', '.join(found)}.",
        f"caviar zoom {evidence.name}",
    )
