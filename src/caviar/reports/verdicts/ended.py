"""How trials ended: failed, or diverged, and where."""

import re

import numpy as np
import pandas as pd

from caviar.reports.verdicts.base import Evidence, Found, named, short
from caviar.runs.folder import was_stopped
from caviar.space.hyperparameters import Hyperparameter, Interval

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

    Warn above 5 %; the cliff is where scores collapse.
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


def _cliff(evidence: Evidence, ended: pd.DataFrame, lost: pd.DataFrame) -> tuple[str, str | None]:
    """Where scores collapse, in words, and the command that searches below it.

    The cut of a hyperparameter parts the ranks of the trials above the best one's value best (least
    squares, as a regression tree of one split, Breiman et al. 1984), a diverged trial being as bad as the
    worst: it lies where scores break down, not at the last value that survived.
    """
    rates = [h for h in evidence.numeric if re.search(r"(^|[._])(lr|learning_rate)$", h.name)]
    best: tuple[float, Hyperparameter | None, float, float] = (0.0, None, 0.0, 0.0)
    for h in rates or evidence.numeric:
        column = evidence.column(h)
        values = ended[column].astype(float)
        losses = (evidence.sign * ended["value"].astype(float)).where(ended["state"] == "COMPLETE")
        losses[lost.index] = np.inf
        kept = values.notna() & losses.notna()
        if len(evidence.complete):
            kept &= values >= float(evidence.complete[column].iloc[0])
        order = values[kept].sort_values()
        ranks = losses[order.index].rank().to_numpy()
        places = order.to_numpy()
        for cut in np.flatnonzero(np.diff(places) > 0) + 1:
            low, high = ranks[:cut], ranks[cut:]
            gain = len(low) * len(high) / len(ranks) * (high.mean() - low.mean())
            gain *= (high.mean() - low.mean()) / max(ranks.var() * len(ranks), 1e-12)
            if high.mean() > low.mean() and gain > best[0]:
                best = (float(gain), h, float(places[cut]), float(places[cut - 1]))
    gain, h, cut, last = best
    warm = "scheduler.warmup_epochs"
    warmer = evidence.rerun(f"{warm}=1") if evidence.has(warm) else None
    if h is None or gain < 0.4:
        return ", at no value in particular", warmer
    above = (lost[evidence.column(h)] >= cut).sum()
    of = (ended[evidence.column(h)].astype(float) >= cut).sum()
    told = f": {above} of the {of} with {h.name} at {short(cut)} or more; stay below it, or warm up"
    if isinstance(h, Interval) and h.low < last < h.high:
        end = int(last) if h.integer else float(f"{last:.3g}")
        now = Interval(h.name, h.low, end, h.scale, h.integer)
        return told, evidence.rerun(f"{h.name}={now}")
    return told, warmer
