"""The loop of a sweep: whenever a lane is free, ask; whenever a trial ends, tell. No batches."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from caviar.executors.base import Executor
from caviar.sweep.study import Asked, SweepStudy
from caviar.trials import Broken, Event, Failed, Finished, Job


class View(Protocol):
    """Who shows a sweep while it runs."""

    def asked(self, asked: Asked) -> None: ...

    def happened(self, event: Event) -> None: ...


@dataclass
class Outcome:
    """How a sweep went.

    Attributes:
        complete, failed: how many trials ended so.
        interrupted: a person stopped it.
        stopped: why it ended before all its trials, where it did.
    """

    complete: int = 0
    failed: int = 0
    interrupted: bool = False
    stopped: str | None = None

    @property
    def exit_status(self) -> int:
        """0 all complete, 3 some failed, 4 all failed (or none could start), 130 interrupted."""
        if self.interrupted:
            return 130
        if self.complete == 0:
            return 4
        return 3 if self.failed else 0


@dataclass
class Loop:
    """Drives one sweep to its end.

    Attributes:
        study: asked and told here alone.
        executor: started already.
        n_trials: how many trials in total.
        make_job: what a worker gets for a trial.
        view: told of everything.
        max_same_failures: this many trials failing the same way from the start end the sweep.
    """

    study: SweepStudy
    executor: Executor
    n_trials: int
    make_job: Callable[[Asked], Job]
    view: View
    max_same_failures: int
    outcome: Outcome = field(default_factory=Outcome)
    _running: dict[int, Asked] = field(default_factory=dict)
    _asked: int = 0
    _interrupts: int = 0
    _errors: list[str] = field(default_factory=list)

    def run(self) -> Outcome:
        """Ask, submit and tell until all trials have ended or somebody stops it."""
        with self._interruptible():
            while self._more() or self._running:
                while self._more() and len(self._running) < self.executor.lanes:
                    self._submit_next()
                if self._interrupts > 1 or (self.outcome.stopped and not self._interrupts):
                    self._stop_now()
                for event in self.executor.events(timeout=0.2):
                    self._handle(event)
        self.outcome.interrupted = self._interrupts > 0
        return self.outcome

    def _more(self) -> bool:
        return self._asked < self.n_trials and not self._interrupts and not self.outcome.stopped

    def _submit_next(self) -> None:
        asked = self.study.ask()
        self._asked += 1
        self._running[asked.number] = asked
        self.view.asked(asked)
        self.executor.submit(self.make_job(asked))

    def _handle(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._tell(event, event.values)
        elif isinstance(event, Failed):
            self._tell(event, None)
        elif isinstance(event, Broken) and not self.outcome.stopped:
            self.outcome.stopped = f"no worker can load the task: {event.error}\n{event.traceback}"
        self.view.happened(event)

    def _tell(self, event: Finished | Failed, values: list[float] | None) -> None:
        if self._running.pop(event.number, None) is None:
            return
        self.study.tell(event.number, values)
        if isinstance(event, Finished):
            self.outcome.complete += 1
            return
        self.outcome.failed += 1
        self._errors.append(event.error)
        alike = self.outcome.complete == 0 and len(set(self._errors)) == 1
        if alike and len(self._errors) >= self.max_same_failures and self._more():
            self.outcome.stopped = (
                f"the first {len(self._errors)} trials all failed the same way:\n"
                f"{event.traceback or event.error}"
            )

    def _stop_now(self) -> None:
        """End what is under way; each trial that had to stop is told as failed."""
        for number in list(self._running):
            self.executor.stop(number)
        self.executor.close()
        for number in list(self._running):
            self._tell(Failed(number, "Interrupted: the sweep was stopped"), None)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C stops asking and lets trials end; the second ends them."""

        def note(signum: int, frame: FrameType | None) -> Any:
            self._interrupts += 1

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
