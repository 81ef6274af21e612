"""What a sweep asks of an executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from caviar.base.messages import Event, Job, Reported
from caviar.executors.task import TaskSource


class Executor(Protocol):
    """Runs jobs on ``lanes`` lanes.

    Every submitted job gives exactly one Finished, Pruned or Failed.

    Attributes:
        log: where the output of loading the task goes; the sweep sets it.
        judge: whether the trial that has just reported this is to end now; the loop sets it. Only an
            executor that runs trials in the controller's own process asks; others are told: `prune`.
        can_stop: whether a trial under way can be ended from outside.
    """

    log: Path
    judge: Callable[[Reported], bool]
    can_stop: bool

    @property
    def lanes(self) -> int:
        """How many jobs may be under way at once. It changes as workers come up and go."""
        ...

    @property
    def spare(self) -> int:
        """Of the lanes, those whose jobs would wait for others to end; 0 where that is not known."""
        ...

    @property
    def workers(self) -> int:
        """How many processes train, or will when they have come up, as far as is known now."""
        ...

    def start(self, task: TaskSource) -> None:
        """Bring the workers up; returns at once, they come up on their own."""
        ...

    def submit(self, job: Job) -> None:
        """Run a job on a free lane."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last call; waits up to ``timeout`` seconds for the first."""
        ...

    def prune(self, number: int) -> None:
        """End a trial at its next report; its Pruned event follows, unless it is done before that."""
        ...

    def interrupt(self) -> None:
        """Ask every trial to leave a checkpoint and end at its next report."""
        ...

    def stop(self, number: int, why: str) -> None:
        """End a trial now; a Failed event that says ``why`` follows."""
        ...

    def close(self) -> None:
        """End all workers and leave nothing behind; may be called twice."""
        ...
