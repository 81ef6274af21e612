"""Does the best lie at an end of the space? Then a better one may lie beyond it."""

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict, short

NAME = "best near an edge"
FEWEST = 10
BEST = 0.1  # share of the range, on the hyperparameter's own scale
REST = 0.18


def edge(evidence: Evidence) -> Verdict:
    """Warn where the best is in the outer tenth, and most of the top trials close to it too."""
    if len(evidence.complete) < FEWEST or not evidence.numeric:
        return Verdict(
            NAME, "unknown", f"fewer than {FEWEST} complete trials of numbers to judge by."
        )
    found = []
    for h in evidence.numeric:
        places = evidence.positions(evidence.top, h)
        best = evidence.positions(evidence.complete.head(1), h)
        if len(best) == 0 or len(places) < 3:
            continue
        value = evidence.complete[evidence.column(h)].iloc[0]
        zero = float(h.from_study(h.spread(2)[0])) in (0, 1)
        if best[0] < BEST and np.median(places) < REST and not zero:
            found.append(f"{h.name}={short(value)} (expand below {short(_end(h, 0))})")
        if best[0] > 1 - BEST and np.median(places) > 1 - REST:
            found.append(f"{h.name}={short(value)} (expand above {short(_end(h, -1))})")
    if not found:
        return Verdict(NAME, "pass", "no edge of the space holds the best trials.")
    return Verdict(
        NAME,
        "warn",
        f"the best trial and its {len(evidence.top) - 1} followers lie at an edge: {', '.join(found)}.",
        f"caviar zoom {evidence.name}",
    )


def _end(h, index: int) -> float:
    return float(h.from_study(h.spread(2)[index]))
