"""Every verdict, the most important first. To add one: a file with its function, and a line here."""

from collections.abc import Callable

from caviar.reports.verdicts.alike import alike
from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.reports.verdicts.batch_size import batch_size
from caviar.reports.verdicts.budget import budget
from caviar.reports.verdicts.diverged import diverged
from caviar.reports.verdicts.edge import edge
from caviar.reports.verdicts.failed import failed
from caviar.reports.verdicts.gap import gap
from caviar.reports.verdicts.late import late
from caviar.reports.verdicts.longer import longer
from caviar.reports.verdicts.matters import matters
from caviar.reports.verdicts.region import region
from caviar.reports.verdicts.rising import rising
from caviar.reports.verdicts.shorter import shorter
from caviar.reports.verdicts.steps import steps
from caviar.reports.verdicts.tested import tested

VERDICTS: list[Callable[[Evidence], Verdict]] = [
    tested,
    failed,
    diverged,
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


def judge(evidence: Evidence) -> list[Verdict]:
    """All verdicts: warnings first, then what is unknown, then what passes."""
    order = ["warn", "unknown", "pass"]
    found = [verdict(evidence) for verdict in VERDICTS]
    return sorted(found, key=lambda verdict: order.index(verdict.status))
