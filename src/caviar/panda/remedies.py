"""Remedies for findings: shell commands with the run's own name and numbers in them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Remedies:
    """Writes commands for one run.

    Attributes:
        run: what the commands call it.
        command: the words that started it; none where it takes no overrides.
        values: gives what may be edited in it, with the present values.
        edited: whether there is an edit to undo.
    """

    run: str
    command: tuple[str, ...] = ()
    values: Callable[[], dict[str, Any]] = dict
    edited: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What may be edited; looked up when something is to be said, which is seldom."""
        return self.values()

    def set(self, key: str, value: float, why: str) -> str:
        """Edit ``key``: ``caviar set cub optimizer.lr=0.0015``."""
        return _line(["caviar", "set", self.run, f"{key}={value:.3g}"], why)

    def scale_lr(self, factor: float, why: str) -> str:
        """Multiply the learning rate; where it cannot be edited, stop."""
        lr = self.settings.get("optimizer.lr")
        if not lr:
            return self.stop("begin again with another learning rate")
        return self.set("optimizer.lr", factor * lr, why)

    def undo(self, otherwise: str) -> str:
        """Undo the last edit, or else what ``otherwise`` says."""
        if not self.edited:
            return otherwise
        return _line(["caviar", "rollback", self.run], f"or {otherwise.partition('  #')[0]}")

    def stop(self, why: str) -> str:
        """End the run: nothing that may be edited would help."""
        return _line(["caviar", "stop", self.run], why)

    def begin_again(self, changes: dict[str, float]) -> str:
        """Start a new run as this one was started, with ``changes``."""
        words = [f"{key}={value:.3g}" for key, value in changes.items()]
        if not self.command:
            return f"# begin again with {' '.join(words)}"
        keys = tuple(f"{key}=" for key in changes)
        kept = [word for word in self.command if not word.startswith(keys)]
        return shlex.join([*kept, *words])


def _line(words: list[str], why: str) -> str:
    return f"{shlex.join(words)}  # {why}"
