"""How many trials diverged, and is there a cliff beyond which they do?"""

import re

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict, short
from caviar.runs.folder import was_stopped

NAME = "diverged trials"
SHARE = 0.05
_SIGNS = re.compile(r"FloatingPointError|\bnan\b|\binf\b|infinite|not finite|diverge", re.I)


def diverged(evidence: Evidence) -> Verdict:
    """Warn above 5 %; the cliff is the value that parts diverged from complete trials best."""
    ended = evidence.trials[evidence.trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    ended = ended[~ended["error"].map(was_stopped).astype(bool)]
    if len(ended) < 5:
        return Verdict(NAME, "unknown", f"{len(ended)} trials have ended; 5 are needed to tell.")
    failed = ended[ended["state"] == "FAIL"]
    lost = failed[failed["error"].map(diverging).astype(bool)]
    share = len(lost) / len(ended)
    told = f"{len(lost)} of {len(ended)} trials ({share:.0%}) diverged"
    if share <= SHARE:
        return Verdict(NAME, "pass", f"{told}.")
    cliff, key = _cliff(evidence, ended, lost)
    return Verdict(NAME, "warn", told + cliff + ".", key)


def diverging(error: object) -> bool:
    """Whether an error line says that a number became infinite or NaN."""
    return isinstance(error, str) and bool(_SIGNS.search(error))


def _cliff(evidence, ended, lost) -> tuple[str, str | None]:
    named = [h for h in evidence.numeric if re.search(r"(^|[._])(lr|learning_rate)$", h.name)]
    best = (0.0, None, 0.0)
    for h in named or evidence.numeric:
        column = evidence.column(h)
        bad = lost[column].dropna().to_numpy(float)
        good = ended.drop(lost.index)[column].dropna().to_numpy(float)
        for cut in np.unique(bad):
            if len(good):
                score = (bad >= cut).mean() + (good < cut).mean() - 1
                best = max(best, (score, h, cut), key=lambda item: item[0])
    score, h, cut = best
    warm = "scheduler.warmup_epochs"
    key = evidence.rerun(f"{warm}=1") if evidence.has(warm) else None
    if h is None or score < 0.5:
        return ", at no value in particular", key
    above = (lost[evidence.column(h)] >= cut).sum()
    of = (ended[evidence.column(h)].astype(float) >= cut).sum()
    told = f": {above} of the {of} with {h.name} at {short(cut)} or more; stay below it, or warm up"
    return told, key
