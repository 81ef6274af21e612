"""Every health check. To add one: a function in a file here, and its name in this."""

from __future__ import annotations

from dataclasses import replace

from caviar.panda.checks import course, network
from caviar.panda.checks.base import Check, Finding
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History

CHECKS: dict[str, Check] = {
    "not_finite": course.not_finite,
    "diverging": course.diverging,
    "plateau": course.plateau,
    "overfitting": course.overfitting,
    "underfitting": course.underfitting,
    "gradient_exploding": network.gradient_exploding,
    "gradient_vanishing": network.gradient_vanishing,
    "dead_units": network.dead_units,
    "update_ratio": network.update_ratio,
    "batch_norm_drift": network.batch_norm_drift,
    "throughput": course.throughput,
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
    seen = {name: check(history, remedies) for name, check in CHECKS.items()}
    return agreed([Finding(name, *one) for name, one in seen.items() if one])


def agreed(found: list[Finding]) -> list[Finding]:
    """The findings with remedies that do not contradict one another.

    A loss that stands still asks for a higher learning rate or a lower one, whatever made it do so.
    """
    causes = [one for one in found if one.check in CAUSES]
    lead = min(causes, key=lambda one: CAUSES.index(one.check), default=None)
    if lead is None:
        return found
    remedy = f"{lead.remedy.partition('  #')[0]}  # as for {lead.check}"
    return [
        replace(one, remedy=remedy) if one.check in COMES_OF and one != lead else one
        for one in found
    ]
