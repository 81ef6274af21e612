"""Does the best lie at an end of the space? Then a better one may lie beyond it."""

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict, short
from caviar.reports.verdicts.places import FALSE_ALARMS, Places, as_near, too_few, top_places

NAME = "best near an edge"
FEWEST = 10
AT_EDGE = 0.1  # share of the range, on the hyperparameter's own scale
REST = 0.18


def edge(evidence: Evidence) -> Verdict:
    """Warn where the best is in the outer tenth, and the top trials nearer to it than by chance."""
    if unknown := too_few(evidence, NAME, FEWEST):
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
        return Verdict(
            NAME,
            "pass",
            "no end of the space holds the best trial and most of its "
            f"{len(evidence.top) - 1} followers, more than chance would put there.",
        )
    return Verdict(
        NAME,
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
