"""What a sweep asks of an executor, and what executors of other processes have in common."""

from __future__ import annotations

import os
import selectors
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from caviar.base.messages import Event, Failed, Job, Reported
from caviar.executors.task import TaskSource

EVENTS_AT_ONCE = 1000
"""No more are waited for before they are handed over: workers that never pause must not hold it up."""


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

    def submit(self, job: Job) -> None:
        """Run a job on a free lane."""

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last call; waits up to ``timeout`` seconds for the first."""
        ...

    def prune(self, number: int) -> None:
        """End a trial at its next report; its Pruned event follows, unless it is done before that."""

    def interrupt(self) -> None:
        """Ask every trial to leave a checkpoint and end at its next report."""

    def stop(self, number: int, why: str) -> None:
        """End a trial now; a Failed event that says ``why`` follows."""

    def close(self) -> None:
        """End all workers and leave nothing behind; may be called twice."""


class ProcessExecutor(ABC):
    """An `Executor` whose jobs wait until a process can have them, and which reads what all of them say.

    With each connection in its selector stands what is called when something can be read from there.

    Args:
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.
    """

    can_stop = True
    _task: TaskSource

    def __init__(self, engine: Mapping[str, Any] | None) -> None:
        self.log = Path(os.devnull)
        self.judge: Callable[[Reported], bool] = lambda report: False
        self._engine = dict(engine or {})
        self._selector = selectors.DefaultSelector()
        self._held: list[Job] = []
        self._events: list[Event] = []

    @abstractmethod
    def _hand_on(self) -> None:
        """Give the processes what is held for them, in its order."""

    def submit(self, job: Job) -> None:
        """Hand a job to the process with the most room, once there is one that may have it."""
        self._held.append(job)
        self._hand_on()

    def events(self, timeout: float) -> list[Event]:
        """What the processes said, and the ends of the trials of lost ones."""
        wait = 0 if self._events else timeout
        while len(self._events) < EVENTS_AT_ONCE and (ready := self._selector.select(wait)):
            for key, _ in ready:
                key.data()
            wait = 0  # for all else that has been said by now
        events, self._events = self._events, []
        return events

    def interrupt(self) -> None:
        """Give up the jobs that no process has; those that have some are told by who overrides this."""
        why = "TrialInterrupted: the sweep was stopped"
        self._events += [Failed(job.number, why, interrupted=True) for job in self._held]
        self._held = []

    def stop(self, number: int, why: str) -> None:
        """End a job that no process has; one that has it is told by who overrides this."""
        if any(job.number == number for job in self._held):
            self._held = [job for job in self._held if job.number != number]
            self._events.append(Failed(number, why))
