"""One lane, in the controller's own process: for debugging, and for tasks too short to be worth more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caviar.engines.solo import Solo
from caviar.executors.base import TaskSource
from caviar.trials import Event, Job, Reported, Started


class InlineExecutor:
    """Runs each trial when its events are asked for, in this process.

    Args:
        task: the task function itself, which no other process has to find.
    """

    lanes = 1

    def __init__(self, task: Callable[[Any], Any]) -> None:
        self._engine = Solo(task)
        self._job: Job | None = None
        self._events: list[Event] = []

    def start(self, task: TaskSource) -> None:
        """Nothing to bring up."""

    def submit(self, job: Job) -> None:
        """Note the job; it runs at the next call of `events`."""
        self._job = job
        self._events.append(Started(job.number, "inline"))

    def events(self, timeout: float) -> list[Event]:
        """Run the job that waits, if one does."""
        if not self._events and self._job is not None:
            job, self._job = self._job, None
            self._events.append(self._engine.run(job, _Listener(self._events, job.number)))
        events, self._events = self._events, []
        return events

    def stop(self, number: int) -> None:
        """Nothing: a trial that runs here has the whole process until it ends."""

    def close(self) -> None:
        """Nothing to end."""


class _Listener:
    def __init__(self, events: list[Event], number: int) -> None:
        self._events = events
        self._number = number

    def reported(self, value: float, step: int) -> None:
        self._events.append(Reported(self._number, value, step))
