"""Every health check. To add one: a function in a file here, and its name in this."""

from __future__ import annotations

from dataclasses import replace

from caviar.panda.checks.base import Check, Finding
from caviar.panda.checks.course import (
    diverging,
    not_finite,
    overfitting,
    plateau,
    throughput,
    underfitting,
)
from caviar.panda.checks.network import (
    batch_norm_drift,
    dead_units,
    gradient_exploding,
    gradient_vanishing,
    update_ratio,
)
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History

CHECKS: dict[str, Check] = {
    "not_finite": not_finite,
    "diverging": diverging,
    "plateau": plateau,
    "overfitting": overfitting,
    "underfitting": underfitting,
    "gradient_exploding": gradient_exploding,
    "gradient_vanishing": gradient_vanishing,
    "dead_units": dead_units,
    "update_ratio": update_ratio,
    "batch_norm_drift": batch_norm_drift,
    "throughput": throughput,
}

CAUSES = (
    "not_finite",
    "gradient_vanishing",
    "diverging",
    "gradient_exploding",
    "dead_units",
    "update_ratio",
    "batch_norm_drift",
    "overfitting",
    "underfitting",
    "plateau",
)
"""Checks, the deepest cause first: what is found of a later one may come of an earlier one."""

COMES_OF = {*CAUSES} - {"not_finite", "gradient_vanishing", "gradient_exploding", "overfitting"}
"""Checks whose remedy is a guess at a cause, which another check may have found."""


def examine(history: History, remedies: Remedies) -> list[Finding]:
    """What all checks find in the epochs so far, the last of which has just ended."""
    found = []
    for name, function in CHECKS.items():
        seen = function(history, remedies)
        if seen:
            found.append(Finding(name, *seen))
    return agreed(found)


def agreed(found: list[Finding]) -> list[Finding]:
    """The findings with remedies that do not contradict one another.

    A loss that stands still asks for a higher learning rate or a lower one, whatever made it do so.
    """
    lead = min((one for one in found if one.check in CAUSES), key=_depth, default=None)
    if lead is None:
        return found
    remedy = f"{lead.remedy.partition('  #')[0]}  # as for {lead.check}"
    return [
        replace(one, remedy=remedy) if one.check in COMES_OF and one != lead else one
        for one in found
    ]


def _depth(finding: Finding) -> int:
    return CAUSES.index(finding.check)
