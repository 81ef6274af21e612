"""Is the good region small? Then most further trials here would be wasted."""

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict, short

NAME = "good region small"
FEWEST = 20
SMALL = 0.35  # share of the range, on the hyperparameter's own scale


def region(evidence: Evidence) -> Verdict:
    """Warn where the top trials all lie in a third of a hyperparameter's range, away from its ends."""
    if len(evidence.complete) < FEWEST or not evidence.numeric:
        return Verdict(
            NAME, "unknown", f"fewer than {FEWEST} complete trials of numbers to judge by."
        )
    found = []
    for h in evidence.numeric:
        top = evidence.positions(evidence.top, h)
        tried = evidence.positions(evidence.complete, h)
        if len(top) < 5 or np.ptp(tried) == 0 or top.min() < 0.02 or top.max() > 0.98:
            continue
        if np.ptp(top) / np.ptp(tried) < SMALL:
            values = evidence.top[evidence.column(h)].dropna()
            found.append(
                f"{h.name} {short(values.min())} to {short(values.max())} ({np.ptp(top):.0%})"
            )
    if not found:
        return Verdict(
            NAME, "pass", f"the {len(evidence.top)} best trials are spread over the space."
        )
    return Verdict(
        NAME,
        "warn",
        f"the {len(evidence.top)} best of {len(evidence.complete)} trials lie in a small part of the "
        f"range: {', '.join(found)}.",
        f"caviar zoom {evidence.name}",
    )
