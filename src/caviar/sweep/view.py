"""What a sweep shows: to its display while it runs, and of how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from caviar.base.messages import Event
from caviar.sweep.asking import Asked


class View(Protocol):
    """The display of a sweep while it runs."""

    def asked(self, asked: Asked) -> None:
        """A trial has been asked for."""

    def happened(self, event: Event) -> None:
        """An event of a worker."""

    def again(self, number: int, text: str) -> None:
        """A trial failed, and is tried again."""

    def stopped(self, number: int, text: str) -> None:
        """A trial was cut short with the sweep."""

    def say(self, text: str) -> None:
        """A line for the person at the terminal."""

    def tick(self) -> None:
        """Called often: draw what has changed."""

    def close(self) -> None:
        """The sweep is over."""


@dataclass
class Outcome:
    """How a sweep ended: what the study does not hold.

    Attributes:
        interrupted: the exit status, where a person (130) or the machine (143) stopped it.
        stopped: why it ended before all its trials, where it did.
        blocked: whether what stopped it is no fault of its trials: a full disk, a database that is away.
    """

    interrupted: int | None = None
    stopped: str | None = None
    blocked: bool = False
