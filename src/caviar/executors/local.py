"""Persistent worker processes on this machine, each held to its slot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from time import monotonic
from typing import Any

from caviar.executors.base import TaskSource
from caviar.executors.slots import Slot, plan
from caviar.executors.worker import Goodbye, Hello
from caviar.trials import Broken, Event, Failed, Finished, Job, Ready

# The worker gets the controller's sys.path before its first import, so both find the same modules.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from caviar.executors.worker import main; main(int(sys.argv[2]))"
)


@dataclass
class _Worker:
    slot: Slot
    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False
    job: Job | None = None
    began: float = 0.0
    bases: set[int] = field(default_factory=set)


class LocalExecutor:
    """As many worker processes as the machine has slots for; torch is imported once in each.

    Args:
        workers: how many; None for as many as fit.
        gpus_per_trial: GPUs a worker holds: 0, 1/n of one, or a whole number.
        threads: CPU threads a worker may use; None for an even share of the cores.
        devices: GPUs to use, by index or UUID; None for all that are visible.

    Raises:
        UsageError: the slots do not fit the machine.
    """

    def __init__(
        self,
        workers: int | None = None,
        gpus_per_trial: float = 1,
        threads: int | None = None,
        devices: list[str] | None = None,
    ) -> None:
        self.slots = plan(workers, gpus_per_trial, threads, devices)
        self.lanes = len(self.slots)
        self._task: TaskSource | None = None
        self._workers: list[_Worker] = []
        self._events: list[Event] = []
        # Where the output of loading the task goes; trials write to their own log.
        self.log = Path(os.devnull)

    def start(self, task: TaskSource) -> None:
        """Start all workers; they load the task while the controller goes on."""
        self._task = task
        self._workers = [self._spawn(slot) for slot in self.slots]

    def submit(self, job: Job) -> None:
        """Hand a job to a worker that has none."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job, worker.began = job, monotonic()
        if job.base.id in worker.bases:
            job = replace(job, base=replace(job.base, pickled=None))
        worker.bases.add(job.base.id)
        with suppress(OSError):  # a worker that just died is met, with what it last said, in events
            worker.connection.send(job)

    def events(self, timeout: float) -> list[Event]:
        """What the workers said; a worker that died is replaced, and its trial told as lost."""
        if not self._events:
            by_end: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
            for end in wait(list(by_end), timeout):
                worker = by_end[end]
                try:
                    event = worker.connection.recv()
                except (EOFError, OSError):
                    self._lost(worker)
                    continue
                if isinstance(event, Ready):
                    worker.ready = True
                elif isinstance(event, Finished | Failed):
                    worker.job = None
                self._events.append(event)
        events, self._events = self._events, []
        return events

    def stop(self, number: int) -> None:
        """Kill the worker that has this trial, and all that the trial started; a new one follows."""
        for worker in self._workers:
            if worker.job is not None and worker.job.number == number:
                _kill(worker.process)

    def close(self) -> None:
        """Let idle workers end, kill busy ones, and wait until all are gone."""
        for worker in self._workers:
            if worker.job is None:
                with suppress(OSError):
                    worker.connection.send(Goodbye())
            else:
                _kill(worker.process)
        deadline = monotonic() + 5
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - monotonic(), 0))
            _kill(worker.process)
            worker.process.wait()
            worker.connection.close()
        self._workers = []

    def _spawn(self, slot: Slot) -> _Worker:
        assert self._task is not None
        ours, theirs = Pipe()
        with theirs, self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())],
                env={**os.environ, **slot.env},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        ours.send(Hello(slot.label, self._task))
        return _Worker(slot, process, ours)

    def _lost(self, worker: _Worker) -> None:
        _kill(worker.process)
        code = worker.process.wait()
        worker.connection.close()
        self._workers.remove(worker)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        error = f"WorkerLost: the worker on {worker.slot.label} ended with {how}"
        if worker.job is not None:
            seconds = monotonic() - worker.began
            self._events.append(Failed(worker.job.number, error, seconds=seconds, transient=True))
        if worker.ready:
            self._workers.append(self._spawn(worker.slot))
        elif not any(isinstance(event, Broken) for event in self._events):
            # It never got as far as a trial, and the next one would not either.
            self._events.append(Broken(f"{error} while it loaded the task", f"see {self.log}"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker's whole process group, which holds all that its trial started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
