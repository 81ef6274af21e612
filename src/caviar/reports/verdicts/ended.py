"""How trials ended: failed, or diverged, and where."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from caviar.reports.evidence import Evidence
from caviar.reports.model import zoomed
from caviar.reports.verdicts.base import Found, named, short
from caviar.runs.folder import was_stopped
from caviar.space.hyperparameters import Choice, Hyperparameter, Interval
from caviar.zoom.next_space import Zoom

SHARE = 0.05  # of the trials, that may fail or diverge without a warning
FEWEST = 5
EXPLAINED = 0.4
"""The share of the ranks' variance that a cliff explains at least."""
SHOWN = 3
_SIGNS = re.compile(r"FloatingPointError|\bnan\b|\binf\b|infinite|not finite|diverge", re.I)


@named("failed trials")
def failed(evidence: Evidence) -> Found:
    """How many trials failed for another reason than divergence, and which error was it?

    Warn above 5 %, with the errors by how often they occur; stopped trials are not counted.
    """
    ended, lost = _ended(evidence)
    count = len(ended)
    errors = ended.loc[ended["state"] == "FAIL", "error"].drop(lost.index)
    errors = errors.where(errors.map(lambda e: isinstance(e, str)), "no error recorded")
    if not count:
        return "unknown", "0 trials have ended of themselves."
    share = f"{len(errors)} of {count} trials ({len(errors) / count:.0%})"
    finding = f"{share} failed (diverged ones not counted)"
    if len(errors) <= SHARE * count:
        return "pass", f"{finding}."
    groups: dict[str, list[int]] = {}
    for number, error in errors.items():
        # Errors that differ in a number alone are one.
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "N", error), []).append(int(str(number)))
    ordered = sorted(groups.values(), key=lambda numbers: -len(numbers))
    lines = [f"{len(numbers)} x {_cut(errors[numbers[0]])}" for numbers in ordered[:SHOWN]]
    more = f"; and {len(ordered) - SHOWN} other errors" if len(ordered) > SHOWN else ""
    command = f"caviar logs {evidence.name}/{ordered[0][0]}"
    return "warn", f"{finding}: {'; '.join(lines)}{more}.", command


def _cut(error: str) -> str:
    return error if len(error) <= 160 else f"{error[:160]}…"


@named("diverged trials")
def diverged(evidence: Evidence) -> Found:
    """How many trials diverged, and is there a cliff beyond which they do?

    Warn above 5 %; the cliff is where scores collapse.
    """
    ended, lost = _ended(evidence)
    if len(ended) < FEWEST:
        return "unknown", f"{len(ended)} trials have ended; {FEWEST} are needed to tell."
    finding = f"{len(lost)} of {len(ended)} trials ({len(lost) / len(ended):.0%}) diverged"
    if len(lost) <= SHARE * len(ended):
        return "pass", f"{finding}."
    warm = "scheduler.warmup_epochs"
    warmer = evidence.rerun(f"{warm}=1") if evidence.has(warm) else None
    cliff = cliff_of(evidence)
    if cliff is None:
        return "warn", f"{finding}, at no value in particular.", warmer
    name, column = cliff.h.name, evidence.column(cliff.h)
    above = (lost[column] >= cliff.cut).sum()
    of = (ended[column].astype(float) >= cliff.cut).sum()
    finding += f": {above} of the {of} with {name} at {short(cliff.cut)} or more; stay below it, or warm up"
    now = narrowed(evidence)
    return "warn", f"{finding}.", evidence.rerun(f"{name}={now}") if now is not None else warmer


def diverging(error: object) -> bool:
    """Whether an error line says that a number became infinite or NaN."""
    return isinstance(error, str) and bool(_SIGNS.search(error))


@dataclass(frozen=True)
class Cliff:
    """Where scores collapse: above ``below`` of a hyperparameter, at ``cut`` or more."""

    h: Hyperparameter
    below: float
    cut: float


def cliff_of(evidence: Evidence) -> Cliff | None:
    """The cliff of a sweep's scores, if more than `SHARE` of its trials diverged and there is one.

    The cut of a hyperparameter parts the ranks of the trials above the best one's value best (least
    squares, as a regression tree of one split, Breiman et al. 1984), a diverged trial being as bad as the
    worst: it lies where scores break down, not at the last value that survived.
    """
    ended, lost = _ended(evidence)
    if len(ended) < FEWEST or len(lost) <= SHARE * len(ended):
        return None
    numeric = [h for h in evidence.space.hyperparameters if not isinstance(h, Choice)]
    rates = [h for h in numeric if re.search(r"(^|[._])(lr|learning_rate)$", h.name)]
    best: tuple[float, Cliff | None] = (0.0, None)
    for h in rates or numeric:
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
                best = (float(gain), Cliff(h, float(places[cut - 1]), float(places[cut])))
    return best[1] if best[0] >= EXPLAINED else None


def narrowed(evidence: Evidence) -> Interval | None:
    """The interval of the cliff's hyperparameter below it, where there is room and zoom does not see the
    best above it all the same.
    """
    cliff = cliff_of(evidence)
    if cliff is None or not isinstance(cliff.h, Interval):
        return None
    h, last = cliff.h, cliff.below
    if not h.low < last < h.high:
        return None
    end = int(last) if h.integer else float(f"{last:.3g}")
    found = zoomed(evidence)
    lines = found.lines if isinstance(found, Zoom) else []
    beside = [line.now for line in lines if line.name == h.name]
    if any(isinstance(other, Interval) and other.low >= end for other in beside):
        return None
    return Interval(h.name, h.low, end, h.scale, h.integer)


def _ended(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials that ended of themselves, and those of them that diverged."""
    ended = evidence.trials[evidence.trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    ended = ended[~ended["error"].map(was_stopped).astype(bool)]
    failed = ended[ended["state"] == "FAIL"]
    return ended, failed[failed["error"].map(diverging).astype(bool)]
