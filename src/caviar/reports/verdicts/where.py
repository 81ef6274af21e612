"""Where the best trials lie in the space: at an end of it, or in a small part of it?"""

import numpy as np

from caviar.reports.verdicts.base import Evidence, Found, named, short
from caviar.reports.verdicts.places import (
    FALSE_ALARMS,
    Places,
    as_near,
    too_few,
    top_places,
    within,
)

AT_EDGE = 0.1  # share of the range, on the hyperparameter's own scale
REST = 0.18
SMALL = 0.35  # share of the range, on the hyperparameter's own scale
END = 0.02


@named("best near an edge")
def edge(evidence: Evidence) -> Found:
    """Does the best lie at an end of the space? Then a better one may lie beyond it.

    Warn where the best is in the outer tenth, and the top trials nearer to it than by chance.
    """
    if unknown := too_few(evidence, 10):
        return unknown
    found = []
    for places in top_places(evidence, least=3):
        value = short(evidence.complete[evidence.column(places.h)].iloc[0])
        low, high = (float(places.h.from_study(place)) for place in places.h.spread(2))
        allowed = FALSE_ALARMS / (2 * len(evidence.numeric))
        # Below 0 or 1 there is often nothing to expand to.
        if low not in (0, 1) and _chance(places, True) <= allowed:
            found.append(f"{places.h.name}={value} (expand below {short(low)})")
        if _chance(places, False) <= allowed:
            found.append(f"{places.h.name}={value} (expand above {short(high)})")
    if not found:
        return (
            "pass",
            "no end of the space holds the best trial and most of its "
            f"{len(evidence.top) - 1} followers, more than chance would put there.",
        )
    return (
        "warn",
        f"the best trial and its {len(evidence.top) - 1} followers lie at an edge: {', '.join(found)}.",
        f"caviar zoom {evidence.name}",
    )


def _chance(places: Places, low: bool) -> float:
    """How likely the top trials would lie so near to an end if nothing mattered; 1 where they do not."""
    best, top = places.from_end(low)
    if best >= AT_EDGE or np.median(top) >= REST:
        return 1.0
    tried = places.tried if low else 1 - places.tried
    outer = float((tried < AT_EDGE).mean())
    return outer * as_near(float(top.sum() - best), len(top) - 1, tried, places.cells)


@named("good region small")
def region(evidence: Evidence) -> Found:
    """Is the good region small? Then most further trials here would be wasted.

    Warn where the top trials all lie in a third of a hyperparameter's range, away from its ends, and
    closer together than chance would put them.
    """
    if unknown := too_few(evidence, 20):
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
        return (
            "pass",
            f"no small part of a range, away from its ends, holds all {len(evidence.top)} best trials, "
            "more than chance would put there.",
        )
    return (
        "warn",
        f"the {len(evidence.top)} best of {len(evidence.complete)} trials lie in a small part of the "
        f"range: {', '.join(found)}.",
        f"caviar zoom {evidence.name}",
    )
