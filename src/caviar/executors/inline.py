"""One lane, in the controller's own process: for debugging, and for tasks too short for more."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from caviar.base.errors import usage_error
from caviar.base.messages import Event, Failed, Job, Reported, Started
from caviar.base.plain import echo
from caviar.base.signals import Interrupted, heard
from caviar.engines.solo import Solo
from caviar.executors.task import TaskSource
from caviar.runs.active import TrialPruned


class InlineExecutor:
    """Runs each trial when its events are asked for, in this process.

    A trial that runs here has the whole process until it ends, so nothing can stop it from outside
    but a report that the pruner does not like, and a signal: SIGTERM (or SIGUSR2) ends it at its next
    report, a second signal wherever it is. The first Ctrl-C lets it end.

    Args:
        engine: as other executors have it; only trials by ``solo`` run here.

    Raises:
        UsageError: the engine is ``fused``.
    """

    lanes, spare = 1, 0
    workers = 1
    can_stop = False
    _task: Callable[[Any], Any]

    def __init__(self, engine: Mapping[str, Any] | None = None) -> None:
        wanted = dict(engine or {})
        if wanted.get("name") == "fused":
            raise usage_error("engine", "fused", "executor=inline runs one trial after the other")
        if wanted.get("name") == "auto" and wanted.get("build"):
            echo("executor=inline runs one trial after the other: engine=auto is engine=solo")
        self.log = Path(os.devnull)
        self._engine = Solo(self._call)
        self._signals: list[int] = []
        self._job: Job | None = None
        self._events: list[Event] = []
        self.judge: Callable[[Reported], bool] = lambda report: False

    def start(self, task: TaskSource) -> None:
        """Take the task function itself, which no other process has to find."""
        assert task.function is not None
        self._task = inspect.unwrap(task.function)

    def submit(self, job: Job) -> None:
        """Note the job; it runs at the next call of `events`."""
        self._job = job
        self._events.append(Started(job.number, "inline"))

    def events(self, timeout: float) -> list[Event]:
        """Run the job that waits, if one does."""
        if not self._events and self._job is not None:
            job, self._job = self._job, None
            self._signals.clear()
            self._events.append(self._engine.run(job, self._reported, self._interrupted))
            self._engine.settle(job)
        events, self._events = self._events, []
        return events

    def prune(self, number: int) -> None:
        """Nothing: the trial has asked by itself."""

    def interrupt(self) -> None:
        """Give the waiting job up; no trial is under way when this can be called."""
        if self._job is not None:
            why = "Interrupted: the sweep was stopped"
            self._events.append(Failed(self._job.number, why, interrupted=True))
            self._job = None

    def stop(self, number: int, why: str) -> None:
        """Nothing: no trial is under way when this can be called."""

    def close(self) -> None:
        """Nothing to end."""

    def _call(self, config: Any) -> Any:
        """Run the trial, which a signal ends; the loop, which waits for it, is given the signal too."""

        def note(signum: int) -> None:
            handler = before[signum]
            if callable(handler):
                handler(signum, None)
            self._signals.append(signum)
            if len(self._signals) > 1:
                raise Interrupted("the sweep was stopped")

        with heard(note) as before:
            return self._task(config)

    def _interrupted(self) -> bool:
        # The first Ctrl-C lets the trial end by itself.
        return len(self._signals) > 1 or bool({signal.SIGTERM, signal.SIGUSR2} & {*self._signals})

    def _reported(self, report: Reported) -> None:
        if self.judge(report):
            raise TrialPruned(f"pruned at step {report.step}")
