"""Every verdict, the most important first. To add one: a function in a file here, and a line in this."""

from collections.abc import Callable
from dataclasses import replace

from caviar.base.direction import no_best
from caviar.base.words import WHAT_NEXT
from caviar.reports.evidence import Evidence
from caviar.reports.verdicts.base import Verdict
from caviar.reports.verdicts.course import gap, late, longer, rising, shorter
from caviar.reports.verdicts.design import batch_size, budget, steps, tested
from caviar.reports.verdicts.ended import diverged, failed
from caviar.reports.verdicts.following import what_next
from caviar.reports.verdicts.luck import alike, better, promised
from caviar.reports.verdicts.where import edge, matters, region
from caviar.sweep.record import CANDIDATE

VERDICTS: list[Callable[[Evidence], Verdict]] = [
    what_next,
    tested,
    failed,
    better,
    diverged,
    promised,
    edge,
    longer,
    alike,
    steps,
    batch_size,
    budget,
    region,
    matters,
    gap,
    rising,
    late,
    shorter,
]


SEARCHES = [diverged, edge, longer, budget, region, matters, gap, rising]
"""Those whose commands search on for a better score."""

OF_ANY = [tested, failed, diverged, steps, batch_size]
"""Those that ask for no best trial, which several objectives do not have."""


def judge(evidence: Evidence) -> list[Verdict]:
    """The verdicts that can be given: what to do next, then warnings, what is unknown, what passes.

    Where more search would gain nothing, the verdicts stay, without their commands to search on.
    """
    verdicts, found = VERDICTS, []
    if any(h.name == CANDIDATE for h in evidence.space.hyperparameters):
        # Its trials are no draws from a space: there is no more to draw, nothing to narrow or to fix.
        why = "its trials repeat the best ones of another sweep; caviar confirm compares them"
        verdicts, found = [failed], [Verdict("confirming sweep", "unknown", f"{why}.")]
    elif len(evidence.directions) != 1:
        why = no_best(evidence.settings)
        verdicts, found = OF_ANY, [Verdict("best trials", "unknown", f"{why}.")]
    judged = [(verdict, verdict(evidence)) for verdict in verdicts]
    if any(one.stops for _, one in judged):
        # Followed all the same, such commands led to nothing better: see `scripts/bench advice`.
        judged = [
            (verdict, replace(one, next=None) if verdict in SEARCHES else one)
            for verdict, one in judged
        ]
    found += [one for _, one in judged]
    return sorted(found, key=_place)


def _place(verdict: Verdict) -> tuple[bool, int]:
    is_next = verdict.name == WHAT_NEXT and verdict.status != "unknown"
    return not is_next, ("warn", "unknown", "pass").index(verdict.status)
