"""Acting without being asked, where ``panda.auto`` names policies: through edits, like a person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from caviar.panda import settings
from caviar.panda.editor import Editor
from caviar.panda.health import Health
from caviar.panda.policies import POLICIES, rollback_on_divergence

MOST_ROLLBACKS = 5
"""Rollbacks of a policy, after which divergence is left to be the run's end."""

PROBATION = 3
"""Epochs after an edit in which its state is none to return to."""

SAVING = 0.02
"""Of the time spent training, what saving states to return to may take."""


class Autopilot:
    """Applies policies to one run.

    Args:
        names: of the policies, as in `POLICIES`; none do nothing.
        trainer, editor, health: of the run.
    """

    def __init__(
        self, names: Sequence[str], trainer: Trainer, editor: Editor, health: Health
    ) -> None:
        self._names = names
        self._trainer = trainer
        self._editor = editor
        self._health = health
        self._good: int | None = None
        self._next_save = 0.0
        self._then: tuple[dict[str, Any], str, str] | None = None

    def returned(self, batch: int) -> None:
        """After a return: make the edit for which it was made.

        Where the return has undone an edit that had raised a value by more than that: none.
        """
        if self._then is not None:
            wanted, who, why = self._then
            self._then = None
            present = settings.values(self._trainer)
            changes = {key: value for key, value in wanted.items() if value < present[key]}
            if changes:
                self._editor.set(batch, changes, {"who": who}, why)

    def epoch_begins(self) -> Path | None:
        """Do what the policies want of the epoch before; a state comes back where that is to return."""
        for name in self._names:
            since = self._trainer.current_epoch - self._editor.last_epoch
            action = POLICIES[name](self._health.findings, settings.values(self._trainer), since)
            if action is None:
                continue
            if not action.back:
                self._editor.set(0, action.changes, {"who": f"policy {name}"}, action.why)
            elif path := self._back(0, action.changes, name, action.why):
                return path
        if rollback_on_divergence.__name__ in self._names:
            self._save_if_good()
        return None

    def failed(self, error: FloatingPointError) -> Path | None:
        """A loss is no number: the state to return to, or None where that is the end."""
        name = rollback_on_divergence.__name__
        if name not in self._names:
            return None
        half = settings.values(self._trainer)["optimizer.lr"] / 2
        batch = max(self._trainer.fit_loop.batch_idx, 0)
        return self._back(batch, {"optimizer.lr": half}, name, str(error))

    def _back(self, batch: int, changes: dict[str, Any], name: str, why: str) -> Path | None:
        policy = f"policy {name}"
        done = sum(edit.kind == "rollback" and edit.who == policy for edit in self._editor.edits)
        if self._good is None or not self._editor.states.has(self._good) or done >= MOST_ROLLBACKS:
            return None
        self._editor.leave(batch, self._good, policy, why)
        self._then = (changes, policy, why)
        return self._editor.states.path(self._good)

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
