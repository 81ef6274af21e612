"""Policies: edits that a watched run makes on its own, where its config allows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from caviar.base.errors import usage_error
from caviar.panda.checks.base import PATIENCE, Finding


@dataclass(frozen=True)
class Action:
    """What a policy wants done.

    Attributes:
        changes: key -> new value.
        back: first return to the last epoch at which nothing diverged.
        why: the finding that it acts on.
    """

    changes: dict[str, Any]
    why: str
    back: bool = False


Policy = Callable[[dict[str, Finding], dict[str, Any], int], Action | None]
"""(findings by check, settings, epochs since the last edit) -> what to do."""


def halve_lr_on_plateau(
    findings: dict[str, Finding], settings: dict[str, Any], since: int
) -> Action | None:
    """Half the learning rate when the loss stands still; then time to see what that brings."""
    if "plateau" not in findings or since <= PATIENCE:
        return None
    return Action({"optimizer.lr": settings["optimizer.lr"] / 2}, findings["plateau"].sentence)


def rollback_on_divergence(
    findings: dict[str, Finding], settings: dict[str, Any], since: int
) -> Action | None:
    """Back to the last epoch that was well, and on from there with half the learning rate."""
    found = findings.get("not_finite") or findings.get("diverging")
    if found is None:
        return None
    return Action({"optimizer.lr": settings["optimizer.lr"] / 2}, found.sentence, back=True)


POLICIES: dict[str, Policy] = {
    "halve_lr_on_plateau": halve_lr_on_plateau,
    "rollback_on_divergence": rollback_on_divergence,
}


def check_policies(names: Iterable[str]) -> None:
    """Raise UsageError unless all ``names`` are policies."""
    for name in names:
        if name not in POLICIES:
            raise usage_error("panda.auto", name, "no such policy", POLICIES)
