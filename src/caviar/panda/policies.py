"""Policies: edits that a watched run makes on its own, where ``panda.auto`` names them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from caviar.panda.checks.base import PATIENCE, Finding
from caviar.panda.editor import Editor
from caviar.panda.health import Health
from caviar.panda.settings import values

MOST_ROLLBACKS = 5
"""Rollbacks of a policy, after which divergence is left to be the run's end."""

PROBATION = 3
"""Epochs after an edit in which its state is none to return to."""

SAVING = 0.02
"""Of the time spent training, what saving states to return to may take."""


@dataclass(frozen=True)
class Action:
    """What a policy wants done.

    Attributes:
        changes: key -> new value.
        why: the finding that it acts on.
        back: first return to the last epoch at which nothing diverged.
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


BACK = "rollback_on_divergence"
POLICIES: dict[str, Policy] = {
    "halve_lr_on_plateau": halve_lr_on_plateau,
    BACK: rollback_on_divergence,
}


class Autopilot:
    """Applies policies, by their names in `POLICIES`, to one run, by edits like a person's."""

    def __init__(
        self, names: Sequence[str], trainer: Trainer, editor: Editor, health: Health
    ) -> None:
        self._names = names
        self._trainer = trainer
        self._editor = editor
        self._health = health
        self._good: int | None = None
        self._next_save = 0.0
        self._then: tuple[Action, str] | None = None

    def returned(self, batch: int) -> None:
        """After a return: make the edit for which it was made.

        Where the return has undone an edit that had raised a value by more than that: none.
        """
        if self._then is not None:
            action, who = self._then
            self._then = None
            present = values(self._trainer)
            changes = {key: value for key, value in action.changes.items() if value < present[key]}
            if changes:
                self._editor.set(batch, changes, {"who": who}, action.why)

    def epoch_begins(self) -> Path | None:
        """Do what the policies want of the epoch before; a state comes back where that is to return."""
        for name in self._names:
            since = self._trainer.current_epoch - self._editor.last_epoch
            action = POLICIES[name](self._health.findings, values(self._trainer), since)
            if action is None:
                continue
            if not action.back:
                self._editor.set(0, action.changes, {"who": f"policy {name}"}, action.why)
            elif path := self._back(0, name, action):
                return path
        if BACK in self._names:
            self._save_if_good()
        return None

    def failed(self, error: FloatingPointError) -> Path | None:
        """A loss is no number: the state to return to, or None where that is the end."""
        if BACK not in self._names:
            return None
        found = {"not_finite": Finding("not_finite", str(error), "")}
        action = rollback_on_divergence(found, values(self._trainer), 0)
        assert action is not None
        return self._back(max(self._trainer.fit_loop.batch_idx, 0), BACK, action)

    def _back(self, batch: int, name: str, action: Action) -> Path | None:
        policy, editor, good = f"policy {name}", self._editor, self._good
        done = sum(edit.kind == "rollback" and edit.who == policy for edit in editor.edits)
        if good is None or not editor.states.has(good) or done >= MOST_ROLLBACKS:
            return None
        editor.leave(batch, good, policy, action.why)
        self._then = action, policy
        return editor.states.path(good)

    def _save_if_good(self) -> None:
        """Save a state to return to, if no earlier epoch had a lower training loss.

        Not soon after an edit: that it makes the loss diverge takes a few epochs to show.
        """
        epochs, losses = self._health.history.epochs, self._health.history.losses("train_loss")
        lowest = not epochs or (epochs[-1].train_loss == min(losses, default=None))
        last = self._editor.last_epoch
        proven = last < 0 or self._trainer.current_epoch - last > PROBATION
        began = time.perf_counter()
        if not (lowest and proven) or began < self._next_save:
            return
        self._editor.save_state()
        self._good = self._editor.number
        now = time.perf_counter()
        self._next_save = now + (now - began) / SAVING
