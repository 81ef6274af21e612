"""What a sweep shows: to its display while it runs, and of how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from caviar.base.messages import Event
from caviar.sweep.asking import Asked


class View(Protocol):
    """The display of a sweep while it runs."""

    def asked(self, asked: Asked) -> None: ...

    def happened(self, event: Event) -> None: ...

    def again(self, number: int, text: str) -> None: ...

    def stopped(self, number: int, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def tick(self) -> None: ...

    def close(self) -> None: ...


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
