"""One lane, in the controller's own process: for debugging, and for tasks too short for more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caviar.engines.solo import Solo
from caviar.executors.base import TaskSource
from caviar.runs.active import TrialPruned
from caviar.trials import Event, Job, Reported, Started


class InlineExecutor:
    """Runs each trial when its events are asked for, in this process.

    A trial that runs here has the whole process until it ends, so nothing can stop it from outside
    but a report that the pruner does not like.

    Args:
        task: the task function itself, which no other process has to find.
    """

    lanes = 1

    def __init__(self, task: Callable[[Any], Any]) -> None:
        self.log = Path(os.devnull)
        self._engine = Solo(task)
        self._job: Job | None = None
        self._events: list[Event] = []
        self.judge: Callable[[Reported], bool] = lambda report: False

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
            self._events.append(self._engine.run(job, _Listener(job.number, self.judge)))
            self._engine.settle(job)
        events, self._events = self._events, []
        return events

    def prune(self, number: int) -> None:
        """Nothing: the trial has asked by itself."""

    def interrupt(self) -> None:
        """Nothing: no trial is under way when this can be called."""

    def stop(self, number: int, why: str) -> None:
        """Nothing: no trial is under way when this can be called."""

    def close(self) -> None:
        """Nothing to end."""


class _Listener:
    def __init__(self, number: int, judge: Callable[[Reported], bool]) -> None:
        self._number = number
        self._judge = judge

    def reported(self, value: float, step: int) -> None:
        if self._judge(Reported(self._number, value, step)):
            raise TrialPruned(f"pruned at step {step}")
