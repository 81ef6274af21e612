"""A worker process as its executor sees it: what it has been given, and what its loss means."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, Protocol

from caviar.base.messages import Failed, Job
from caviar.base.signals import ASK_TO_END
from caviar.executors.slots import Slot


class Process(Protocol):
    """A worker's process, which leads a process group of its own."""

    @property
    def pid(self) -> int:
        """Its number, and its group's; raises `ProcessLookupError` where it never began."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, as `subprocess.Popen.wait`."""
        ...


@dataclass(eq=False)
class LocalWorker:
    """A process and what it has been given.

    Attributes:
        lanes: how many jobs it can have under way; one until it says more, none when it is to go.
        jobs: those under way, by number, each with the time it was handed over.
        quarantine: of its jobs, where they are of one.
        doomed: why each of these trials has to leave the worker, or the worker is killed for it; ``asked``:
            when the worker was asked.
        gone: it has ended, or was killed, and what it last said is still to be read.
        bases: configs that it has been sent.
    """

    slot: Slot
    process: Process
    connection: Connection
    lanes: int = 1
    spare: int = 0
    ready: bool = False
    jobs: dict[int, tuple[Job, float]] = field(default_factory=dict)
    quarantine: int = 0
    doomed: dict[int, str] = field(default_factory=dict)
    asked: float = 0.0
    gone: bool = False
    bases: set[int] = field(default_factory=set)

    def send(self, message: Any) -> bool:
        """Send it a message; False where it has just died, which its executor will read."""
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    def may_have(self, job: Job) -> bool:
        """Whether it has room for a job; a quarantine has a worker to itself."""
        apart = not self.jobs or self.quarantine == job.quarantine
        return not self.gone and len(self.jobs) < self.lanes and apart

    def give(self, job: Job) -> bool:
        """Send it a job; False where it has just died."""
        known = job.base.id in self.bases
        sent = replace(job, base=replace(job.base, pickled=None)) if known else job
        if not self.send(sent):
            self.gone = True
            return False
        self.jobs[job.number] = job, monotonic()
        self.quarantine = job.quarantine
        self.bases.add(job.base.id)
        return True

    def kill(self) -> None:
        """Kill its whole process group, which holds all that its trials started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def losses(
        self, code: int, error: str, apart: Mapping[int, int]
    ) -> tuple[list[Failed], list[Job]]:
        """How its trials end, now that the worker has.

        Args:
            code: its exit status.
            error: that of a trial that may have ended it.
            apart: the quarantine of each trial, where there are several.

        Returns:
            the events of those that it had begun, and the jobs that it had not.
        """
        failed: list[Failed] = []
        again: list[Job] = []
        if apart:
            error += f": one of its {len(apart)} trials may have done it"
        for number, (job, began) in self.jobs.items():
            why, seconds = self.doomed.get(number), monotonic() - began
            quarantine = apart.get(number, 0)
            if why is not None:
                failed.append(Failed(number, why, seconds=seconds, quarantine=quarantine))
            elif -code in ASK_TO_END:  # while it loaded: later it leaves a checkpoint
                gone = f"Interrupted: the worker on {self.slot.label} was told to go, {how(code)}"
                failed.append(Failed(number, gone, seconds=seconds, interrupted=True))
            elif not self.ready:
                again.append(job)
            else:
                lost = Failed(number, error, seconds=seconds, transient=True)
                kind = f"WorkerLost: {how(code)}"
                failed.append(replace(lost, quarantine=quarantine, kind=kind))
        return failed, again


def how(code: int) -> str:
    """How a process ended, by its exit status."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
