"""Persistent worker processes on this machine, each held to its slot."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from time import monotonic
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from caviar.base.errors import usage_error
from caviar.base.messages import (
    Broken,
    Event,
    Failed,
    Finished,
    Job,
    Pruned,
    Ready,
    Reported,
    Starting,
)
from caviar.base.signals import ASK_TO_END
from caviar.engines.gpu import told_no_memory
from caviar.executors.base import TaskSource
from caviar.executors.processes import Process, fork, limit_threads, spawn, why_not_forked
from caviar.executors.slots import Slot, plan
from caviar.executors.worker import Goodbye, Hello, Interrupt, Prune, Stop, main
from caviar.runs.inside import open_inside

_LETS_GO = 20.0
"""Seconds that a worker of many lanes has to end one trial: it does so between two epochs."""


EVENTS_AT_ONCE = 1000
"""No more are waited for before they are handed over: workers that never pause must not hold it up."""


@dataclass(eq=False)
class _Worker:
    """A process and what it has been given.

    Attributes:
        lanes: how many jobs it can have under way; one until it says more, none when it is to go.
        jobs: those under way, by number, each with the time it was handed over.
        quarantine: of its jobs, where they are of one.
        doomed: why each of these trials has to leave the worker, or the worker is killed for it; ``told``:
            when the worker was asked.
        gone: it has ended, or was killed, and what it last said is still to be read.
        bases: configs that it has been sent.
    """

    slot: Slot
    process: Process
    connection: Connection
    lanes: int = 1
    ready: bool = False
    jobs: dict[int, tuple[Job, float]] = field(default_factory=dict)
    quarantine: int = 0
    doomed: dict[int, str] = field(default_factory=dict)
    told: float = 0.0
    gone: bool = False
    bases: set[int] = field(default_factory=set)


class LocalExecutor:
    """As many worker processes as the machine has slots for, each of which loads its task once.

    Args:
        workers: how many; None for as many as fit.
        gpus_per_trial: GPUs a worker holds: 0, 1/n of one, or a whole number; None for one where
            there are any.
        threads: CPU threads a worker may use; None for an even share of the cores.
        devices: GPUs to use, by index or UUID; None for all that are visible.
        fork: whether the first workers are copies of the controller, which has imported already what
            the program imports; None where nothing speaks against it: see `why_not_forked`. A worker
            that takes a lost one's place is always a new interpreter.
        gpu_memory: GiB that a GPU must have free, or it is left out.
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.

    Attributes:
        slots: one a worker; may be changed before the start.
        in_all: how many workers share the sweep's trials, those of other machines included.

    Raises:
        UsageError: the slots do not fit the machine.
    """

    can_stop = True

    def __init__(
        self,
        workers: int | None = None,
        gpus_per_trial: float | None = None,
        threads: int | None = None,
        devices: Sequence[object] | None = None,
        fork: bool | None = None,
        gpu_memory: float | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        self.slots = plan(workers, gpus_per_trial, threads, devices, gpu_memory)
        self.in_all = len(self.slots)
        if fork not in (None, True, False):
            raise usage_error("executor.fork", fork, "must be null, true or false")
        if fork and any(slot.env["CUDA_VISIBLE_DEVICES"] for slot in self.slots):
            why = "a worker must know its GPUs before it imports anything"
            raise usage_error("executor.fork", fork, why, [False])
        self._fork = fork
        self.log = Path(os.devnull)
        self.judge: Callable[[Reported], bool] = lambda report: False
        self._engine = dict(engine or {})
        self._task: TaskSource | None = None
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()  # of the connections to all workers
        self._events: list[Event] = []
        self._stillborn = 0
        self._held: list[Job] = []
        self._quarantines = 0
        self._give_threads_back: Callable[[], None] = lambda: None

    @property
    def lanes(self) -> int:
        if not self._workers:
            return len(self.slots)
        return sum(worker.lanes for worker in self._workers)

    @property
    def workers(self) -> int:
        return len(self.slots)

    @property
    def ready(self) -> int:
        """How many of the lanes are on workers that have loaded their task."""
        return sum(worker.lanes for worker in self._workers if worker.ready)

    def fileno(self) -> int:
        """What can be read from when a worker has said something."""
        return self._selector.fileno()  # type: ignore[attr-defined]

    def start(self, task: TaskSource) -> None:
        """Start all workers; they load the task while the controller goes on."""
        self._task = task
        forked = [self._forks(slot) for slot in self.slots]
        if any(forked):
            self._give_threads_back = limit_threads(int(self.slots[0].env["OMP_NUM_THREADS"]))
        for slot, is_copy in zip(self.slots, forked, strict=True):
            self._start_worker(slot, is_copy)

    def submit(self, job: Job) -> None:
        """Hand a job to the worker that has the most room for it, once there is one that may have it."""
        self._held.append(job)
        self._hand_on()

    def _hand_on(self) -> None:
        """Give the workers what is held for them, in its order."""
        held, self._held = self._held, []
        for job in held:
            # Where one in quarantine waits for a worker to become free, no worker is kept busy by others.
            if (self._held and not job.quarantine) or not self._hand(job):
                self._held.append(job)

    def _hand(self, job: Job) -> bool:
        """Give a job to a worker; False where none may have it: a quarantine has a worker to itself."""
        able = [
            worker
            for worker in self._workers
            if not worker.gone
            and len(worker.jobs) < worker.lanes
            and (not worker.jobs or worker.quarantine == job.quarantine)
        ]
        if not able:
            return False
        worker = min(able, key=lambda w: (len(w.jobs) / w.lanes, not w.ready))
        known = job.base.id in worker.bases
        sent = replace(job, base=replace(job.base, pickled=None)) if known else job
        if not self._send(worker, sent):
            worker.gone = True
            return self._hand(job)
        worker.jobs[job.number] = job, monotonic()
        worker.quarantine = job.quarantine
        worker.bases.add(job.base.id)
        return True

    def events(self, timeout: float) -> list[Event]:
        """What the workers said; a worker that died is replaced, and its trials told as lost."""
        wait = 0 if self._events else timeout
        while len(self._events) < EVENTS_AT_ONCE and (said := self._selector.select(wait)):
            for key, _ in said:
                self._receive(key.data)
            wait = 0  # for all else that has been said by now
        events, self._events = self._events, []
        return events

    def prune(self, number: int) -> None:
        for worker in self._having(number):
            self._send(worker, Prune(number))

    def interrupt(self) -> None:
        for worker in self._workers:
            self._send(worker, Interrupt())
        for job in self._held:
            error = "TrialInterrupted: the sweep was stopped"
            self._events.append(Failed(job.number, error, interrupted=True))
        self._held = []

    def stop(self, number: int, why: str) -> None:
        """Kill the worker that has this trial, and all that the trial started; a new one follows.

        A worker that has other trials too is told first, and spared if it lets go of this one.
        """
        if any(job.number == number for job in self._held):
            self._held = [job for job in self._held if job.number != number]
            self._events.append(Failed(number, why))
        for worker in self._having(number):
            if number not in worker.doomed:
                worker.doomed[number] = why
                worker.told = monotonic()
                self._send(worker, Stop(number, why))
            if len(worker.jobs) == 1 or monotonic() - worker.told > _LETS_GO:
                _kill(worker.process)
                worker.gone = True
                while worker in self._workers and worker.connection.poll(1):
                    self._receive(worker)  # its last words, and then its end: no job goes to it
                if worker in self._workers:
                    self._lost(worker)  # something that left its group holds the connection

    def close(self) -> None:
        """Let idle workers end, kill busy ones, and wait until all are gone."""
        for worker in self._workers:
            if worker.jobs:
                _kill(worker.process)
            else:
                self._send(worker, Goodbye())
        self._give_threads_back()  # while the workers end: it wakes threads that are busy for a while
        deadline = monotonic() + 5
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - monotonic(), 0))
            _kill(worker.process)
            worker.process.wait()
            self._hang_up(worker)
        self._workers, self._held = [], []

    def _having(self, number: int) -> list[_Worker]:
        return [worker for worker in self._workers if number in worker.jobs]

    def _send(self, worker: _Worker, message: Any) -> bool:
        """Send a message to a worker; False where it has just died, which `events` will find."""
        try:
            worker.connection.send(message)
        except OSError:
            return False
        return True

    def _receive(self, worker: _Worker) -> None:
        """Take in the next message of a worker."""
        try:
            events = worker.connection.recv()
        except (EOFError, OSError):
            self._lost(worker)
        else:
            self._take(worker, *events)

    def _hang_up(self, worker: _Worker) -> None:
        self._selector.unregister(worker.connection)
        worker.connection.close()

    def _take(self, worker: _Worker, *events: Event) -> None:
        for event in events:
            if isinstance(event, Ready):
                worker.ready, worker.lanes = True, event.lanes
                self._stillborn = 0
            elif isinstance(event, Finished | Pruned | Failed):
                worker.jobs.pop(event.number, None)
                worker.doomed.pop(event.number, None)
            if isinstance(event, Failed) and worker.slot.shared and told_no_memory(event.error):
                # The memory that was missing may have been a neighbour's.
                event = replace(event, transient=True)
            self._events.append(event)
        self._hand_on()

    def _forks(self, slot: Slot) -> bool:
        """Whether the worker of this slot is to be a copy of this process; its log says why not."""
        if self._fork is not None:
            return self._fork
        why_not = why_not_forked(slot)
        if why_not:
            with open_inside(self.log, "a") as log:
                log.write(
                    f"{slot.label}: a new interpreter, not a copy of the controller: {why_not}\n"
                )
        return why_not is None

    def _start_worker(self, slot: Slot, forked: bool) -> None:
        assert self._task is not None
        ours, theirs = Pipe()
        with theirs:
            if forked:
                process = fork(slot, lambda: self._become_worker(ours, theirs), self.log)
            else:
                process = spawn(slot, theirs.fileno(), self.log)
        worker = _Worker(slot, process, ours)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        self._events.append(Starting(slot.label))
        task = replace(self._task, function=None)
        self._send(worker, Hello(slot.label, task, self.in_all, self._engine))

    def _become_worker(self, ours: Connection, theirs: Connection) -> None:
        """Serve, in a copy. The controller's ends of pipes are closed first, so that its end is noticed."""
        assert self._task is not None
        for connection in (ours, *(worker.connection for worker in self._workers)):
            connection.close()
        self._selector.close()
        GlobalHydra.instance().clear()  # a task may initialize Hydra for itself
        main(theirs.fileno(), self._task.function)

    def _lost(self, worker: _Worker) -> None:
        _kill(worker.process)
        code = worker.process.wait()
        self._hang_up(worker)
        self._workers.remove(worker)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        error = (
            f"WorkerLost: the worker on {worker.slot.label} (see {self.log.name}) ended with {how}"
        )
        self._note_loss(worker, how)
        apart = self._quarantine(worker)
        for number, (job, began) in worker.jobs.items():
            why, seconds = worker.doomed.get(number), monotonic() - began
            asked_to_end = why is None and -code in ASK_TO_END
            if asked_to_end:  # while it loaded: later it leaves a checkpoint
                gone = f"Interrupted: the worker on {worker.slot.label} was told to go, {how}"
                self._events.append(Failed(number, gone, seconds=seconds, interrupted=True))
                continue
            if why is None and not worker.ready:
                self._held.insert(0, job)  # it died before it could begin this
                continue
            told = error + (f": one of its {len(apart)} trials may have done it" if apart else "")
            lost = Failed(number, why or told, seconds=seconds, transient=why is None)
            kind = "" if why else f"WorkerLost: {how}"
            self._events.append(replace(lost, quarantine=apart.get(number, 0), kind=kind))
        self._stillborn += not worker.ready
        if any(isinstance(event, Broken) for event in self._events):
            return
        if self._stillborn > 2 * len(self.slots):
            # One after the other never got as far as a trial, and the next would not either.
            self._events.append(Broken(f"{error} while it loaded the task", f"see {self.log}"))
            return
        self._start_worker(worker.slot, forked=False)
        self._hand_on()

    def _note_loss(self, worker: _Worker, how: str) -> None:
        with suppress(OSError), open_inside(self.log, "a") as log:
            trials = ", ".join(map(str, worker.jobs)) or "none"
            log.write(f"{worker.slot.label}: ended with {how}; its trials: {trials}\n")

    def _quarantine(self, worker: _Worker) -> dict[int, int]:
        """The quarantine of each trial that a lost worker had; empty where it had a single trial.

        Most likely one trial ended the worker. An eighth of the trials, at least one, shares a quarantine:
        of 511 trials, the one that ends every worker is alone after three losses at most.
        """
        if len(worker.jobs) < 2:
            return {}
        first, size = self._quarantines + 1, max(1, len(worker.jobs) // 8)
        found = {number: first + index // size for index, number in enumerate(worker.jobs)}
        self._quarantines = max(found.values())
        return found


def _kill(process: Process) -> None:
    """Kill a worker's whole process group, which holds all that its trial started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
