"""How trials ended: failed, or diverged, and where."""

import re

import numpy as np

from caviar.reports.verdicts.base import Evidence, Found, named, short
from caviar.runs.folder import was_stopped

SHARE = 0.05  # of the trials, that may fail or diverge without a warning
SHOWN = 3
_SIGNS = re.compile(r"FloatingPointError|\bnan\b|\binf\b|infinite|not finite|diverge", re.I)


@named("failed trials")
def failed(evidence: Evidence) -> Found:
    """How many trials failed for another reason than divergence, and which error was it?

    Warn above 5 %, with the errors by how often they occur; stopped trials are not counted.
    """
    ended = evidence.trials[evidence.trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    errors = ended.loc[ended["state"] == "FAIL", "error"]
    errors = errors.where(errors.map(lambda e: isinstance(e, str)), "no error recorded")
    stopped = errors.map(was_stopped)
    errors, count = errors[~stopped & ~errors.map(diverging)], len(ended) - int(stopped.sum())
    if not count:
        return "unknown", "0 trials have ended of themselves."
    told = f"{len(errors)} of {count} trials ({len(errors) / count:.0%}) failed (diverged ones not counted)"
    if len(errors) <= SHARE * count:
        return "pass", f"{told}."
    groups: dict[str, list[int]] = {}
    for number, error in errors.items():
        # Errors that differ in a number alone are one.
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "N", error), []).append(int(str(number)))
    ordered = sorted(groups.values(), key=lambda numbers: -len(numbers))
    lines = [f"{len(numbers)} x {_cut(errors[numbers[0]])}" for numbers in ordered[:SHOWN]]
    more = f"; and {len(ordered) - SHOWN} other errors" if len(ordered) > SHOWN else ""
    return (
        "warn",
        f"{told}: {'; '.join(lines)}{more}.",
        f"caviar logs {evidence.name}/{ordered[0][0]}",
    )


def _cut(error: str, length: int = 160) -> str:
    return error if len(error) <= length else f"{error[:length]}…"


@named("diverged trials")
def diverged(evidence: Evidence) -> Found:
    """How many trials diverged, and is there a cliff beyond which they do?

    Warn above 5 %; the cliff is the value that parts diverged from complete trials best.
    """
    ended = evidence.trials[evidence.trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    ended = ended[~ended["error"].map(was_stopped).astype(bool)]
    if len(ended) < 5:
        return "unknown", f"{len(ended)} trials have ended; 5 are needed to tell."
    failed = ended[ended["state"] == "FAIL"]
    lost = failed[failed["error"].map(diverging).astype(bool)]
    share = len(lost) / len(ended)
    told = f"{len(lost)} of {len(ended)} trials ({share:.0%}) diverged"
    if share <= SHARE:
        return "pass", f"{told}."
    cliff, key = _cliff(evidence, ended, lost)
    return "warn", told + cliff + ".", key


def diverging(error: object) -> bool:
    """Whether an error line says that a number became infinite or NaN."""
    return isinstance(error, str) and bool(_SIGNS.search(error))


def _cliff(evidence, ended, lost) -> tuple[str, str | None]:
    rates = [h for h in evidence.numeric if re.search(r"(^|[._])(lr|learning_rate)$", h.name)]
    best = (0.0, None, 0.0)
    for h in rates or evidence.numeric:
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
