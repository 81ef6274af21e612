"""What the best trials of a sweep are worth, read off its tables."""

from __future__ import annotations

from dataclasses import replace

from caviar.reports.expected import Expected, expected, unpicked
from caviar.reports.model import fitted
from caviar.reports.noise import shared_luck
from caviar.reports.verdicts.base import Evidence


def worth(evidence: Evidence) -> dict[int, Expected]:
    """By number, what each of the best trials is worth on a fresh seed, the best first, and the baseline
    where there is one; empty where that is not known.

    Nothing is told of trials with several objectives, or that repeat another sweep's.
    """
    cache = evidence.__dict__.setdefault("_worth_cache", {})
    if not cache:
        cache["worth"] = _worth(evidence)
    return cache["worth"]


def _worth(evidence: Evidence) -> dict[int, Expected]:
    found = fitted(evidence)
    if found is None:
        return {}
    wanted = found.best
    if found.default is not None and found.default not in wanted:
        wanted = [*wanted, found.default]
    shared = shared_luck(evidence)
    told = expected(found.losses, wanted, found.good, found.noise, evidence.sign, shared)
    if evidence.least == -1:
        told = [replace(one, mean=min(one.mean, 1.0), high=min(one.high, 1.0)) for one in told]
    known = {found.numbers[place]: one for place, one in zip(wanted, told, strict=True)}
    default = evidence.default
    if told and default is not None and default not in evidence.complete.index:
        score = float(evidence.trials["value"][default])
        known[default] = unpicked(score, told[0].noise, told[0].source)
    return known
