"""What a worker asks of an engine: take jobs, train them, tell what happens."""

from __future__ import annotations

from typing import Protocol

from caviar.base.messages import Event, Job


class Send(Protocol):
    """Tells the controller what has happened: several events, in their order, by one message."""

    def __call__(self, *events: Event) -> None: ...


class Inbox(Protocol):
    """What the controller has sent to a worker."""

    @property
    def closed(self) -> bool:
        """Whether the last job has come: an engine that has none left returns."""
        ...

    def take(self, timeout: float | None) -> Job | None:
        """The next job, or None where none came.

        Args:
            timeout: seconds to wait for one; 0 looks and returns, None waits until there is a job or
                the inbox is closed.
        """
        ...

    def pruned(self, number: int) -> bool:
        """Whether the controller wants this trial to end early."""
        ...

    def stopped(self, number: int) -> str | None:
        """Why the controller wants this trial to fail now, where it does.

        For engines with many trials under way; a worker with a single trial is killed instead.
        """
        ...

    @property
    def interrupted(self) -> bool:
        """Whether all trials are to leave a checkpoint and end soon, for a later process to go on with.

        Each then gives ``Failed`` with `caviar.runs.active.TrialInterrupted` as its error.
        """
        ...


class Engine(Protocol):
    """Trains the trials of one worker, on ``lanes`` lanes.

    Each job gives ``Started`` when its training begins, any number of ``Reported``, and then exactly
    one of ``Finished``, ``Pruned`` or ``Failed``.

    Attributes:
        lanes: how many jobs it can have under way.
    """

    lanes: int

    def serve(self, inbox: Inbox, send: Send) -> None:
        """Run jobs until the inbox is closed and all that were taken have ended."""
        ...
