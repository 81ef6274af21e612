"""Persistent worker processes on this machine, each held to its slot."""

from __future__ import annotations

import selectors
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from time import monotonic
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from caviar.base.errors import usage_error
from caviar.base.messages import Broken, Event, Failed, Finished, Job, Pruned, Ready, Starting
from caviar.engines.gpu import told_no_memory
from caviar.executors import forkserver
from caviar.executors.base import ProcessExecutor
from caviar.executors.local_worker import LocalWorker, Process, how
from caviar.executors.processes import fork, limit_threads, spawn, why_not_forked
from caviar.executors.slots import Slot, plan
from caviar.executors.task import TaskSource
from caviar.executors.worker import Goodbye, Hello, Interrupt, Prune, Stop, main
from caviar.runs.inside import open_inside

_LETS_GO = 20.0
"""Seconds that a worker of many lanes has to end one trial: it does so between two epochs."""


class LocalExecutor(ProcessExecutor):
    """As many worker processes as the machine has slots for, each of which loads its task once.

    Args:
        workers: how many; None for as many as fit.
        gpus_per_trial: GPUs a worker holds: 0, 1/n of one, or a whole number; None for one where
            there are any.
        threads: CPU threads a worker may use; None for an even share of the cores.
        devices: GPUs to use, by index or UUID; None for all that are visible.
        fork: whether the first workers are copies of the controller, which has imported already what
            the program imports, and those that take a lost one's place new interpreters; None for
            copies of the app's fork server where it has one (`caviar.executors.forkserver`), else of
            the controller where nothing speaks against it: see `why_not_forked`.
        gpu_memory: GiB that a GPU must have free, or it is left out.
        engine: keyword arguments of `caviar.engines.make.make_engine`; the sweep sets them.

    Attributes:
        slots: one a worker; may be changed before the start.
        in_all: how many workers share the sweep's trials, those of other machines included.

    Raises:
        UsageError: the slots do not fit the machine.
    """

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
        super().__init__(engine)
        self.slots = plan(workers, gpus_per_trial, threads, devices, gpu_memory)
        self.in_all = len(self.slots)
        if fork not in (None, True, False):
            raise usage_error("executor.fork", fork, "must be null, true or false")
        if fork and any(slot.env["CUDA_VISIBLE_DEVICES"] for slot in self.slots):
            why = "a worker must know its GPUs before it imports anything"
            raise usage_error("executor.fork", fork, why, [False])
        self._fork = fork
        self._workers: list[LocalWorker] = []
        self._stillborn = 0
        self._quarantines = 0
        self._server: forkserver.ForkServer | None = None
        self._give_threads_back: Callable[[], None] = lambda: None

    @property
    def lanes(self) -> int:
        """Jobs that its workers can have under way, those still loading included."""
        if not self._workers:
            return len(self.slots)
        return sum(worker.lanes for worker in self._workers)

    @property
    def spare(self) -> int:
        """Of the lanes, those whose jobs would wait for others of their worker to end."""
        return sum(worker.spare for worker in self._workers)

    @property
    def workers(self) -> int:
        """One a slot."""
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
        if self._fork is not None:
            forkserver.end()
        self._server = forkserver.begun()
        forked = [self._server is None and self._forks(slot) for slot in self.slots]
        if any(forked):
            self._give_threads_back = limit_threads(int(self.slots[0].env["OMP_NUM_THREADS"]))
        for slot, is_copy in zip(self.slots, forked, strict=True):
            self._start_worker(slot, is_copy)

    def _hand_on(self) -> None:
        held, self._held = self._held, []
        for job in held:
            # Where one in quarantine waits for a worker to become free, no worker is kept busy by others.
            if (self._held and not job.quarantine) or not self._hand(job):
                self._held.append(job)

    def _hand(self, job: Job) -> bool:
        """Give a job to a worker; False where none may have it."""
        while able := [worker for worker in self._workers if worker.may_have(job)]:
            if min(able, key=lambda w: (len(w.jobs) / w.lanes, not w.ready)).give(job):
                return True
        return False

    def prune(self, number: int) -> None:
        for worker in self._having(number):
            worker.send(Prune(number))

    def interrupt(self) -> None:
        for worker in self._workers:
            worker.send(Interrupt())
        super().interrupt()

    def stop(self, number: int, why: str) -> None:
        """Kill the worker that has this trial, and all that the trial started; a new one follows.

        A worker that has other trials too is told first, and spared if it lets go of this one.
        """
        super().stop(number, why)
        for worker in self._having(number):
            if number not in worker.doomed:
                worker.doomed[number] = why
                worker.asked = monotonic()
                worker.send(Stop(number, why))
            if len(worker.jobs) == 1 or monotonic() - worker.asked > _LETS_GO:
                worker.kill()
                worker.gone = True
                while worker in self._workers and worker.connection.poll(1):
                    self._receive(worker)  # its last words, and then its end: no job goes to it
                if worker in self._workers:
                    self._lost(worker)  # something that left its group holds the connection

    def close(self) -> None:
        """Let idle workers end, kill busy ones, and wait until all are gone."""
        for worker in self._workers:
            if worker.jobs:
                worker.kill()
            else:
                worker.send(Goodbye())
        self._give_threads_back()  # while the workers end: it wakes threads that are busy for a while
        deadline = monotonic() + 5
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - monotonic(), 0))
            worker.kill()
            worker.process.wait()
            self._hang_up(worker)
        self._workers, self._held = [], []

    def _having(self, number: int) -> list[LocalWorker]:
        return [worker for worker in self._workers if number in worker.jobs]

    def _hang_up(self, worker: LocalWorker) -> None:
        self._selector.unregister(worker.connection)
        worker.connection.close()

    def _receive(self, worker: LocalWorker) -> None:
        try:
            events: tuple[Event, ...] = worker.connection.recv()
        except (EOFError, OSError):
            self._lost(worker)
            return
        for event in events:
            if isinstance(event, Ready):
                worker.ready, worker.lanes, worker.spare = True, event.lanes, event.spare
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
            text = f"{slot.label}: a new interpreter, not a copy of the controller: {why_not}\n"
            with open_inside(self.log, "a") as log:
                log.write(text)
        return why_not is None

    def _start_worker(self, slot: Slot, forked: bool) -> None:
        ours, theirs = Pipe()
        with theirs:
            if forked:
                process = fork(slot, lambda: self._become_worker(ours, theirs), self.log)
            else:
                process = self._served(slot, theirs) or spawn(slot, theirs.fileno(), self.log)
        worker = LocalWorker(slot, process, ours)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._receive(worker))
        self._events.append(Starting(slot.label))
        task = replace(self._task, function=None)
        worker.send(Hello(slot.label, task, self.in_all, self._engine))

    def _served(self, slot: Slot, theirs: Connection) -> Process | None:
        """A copy of the fork server; None where there is none, or no longer."""
        if self._server is not None:
            try:
                return self._server.start(slot, theirs.fileno(), self.log)
            except OSError as error:
                self._server = None
                with open_inside(self.log, "a") as log:
                    log.write(f"new interpreters from here on: the fork server is gone ({error})\n")
        return None

    def _become_worker(self, ours: Connection, theirs: Connection) -> None:
        """Serve, in a copy. The controller's ends of pipes are closed first, so that its end is noticed."""
        for connection in (ours, *(worker.connection for worker in self._workers)):
            connection.close()
        self._selector.close()
        GlobalHydra.instance().clear()  # a task may initialize Hydra for itself
        main(theirs.fileno(), self._task.function)

    def _lost(self, worker: LocalWorker) -> None:
        worker.kill()
        code = worker.process.wait()
        self._hang_up(worker)
        self._workers.remove(worker)
        on = f"the worker on {worker.slot.label} (see {self.log.name})"
        error = f"WorkerLost: {on} ended with {how(code)}"
        with suppress(OSError), open_inside(self.log, "a") as log:
            trials = ", ".join(map(str, worker.jobs)) or "none"
            log.write(f"{worker.slot.label}: ended with {how(code)}; its trials: {trials}\n")
        failed, again = worker.losses(code, error, self._quarantine(worker))
        self._events += failed
        self._held[:0] = again
        self._stillborn += not worker.ready
        if any(isinstance(event, Broken) for event in self._events):
            return
        if self._stillborn > 2 * len(self.slots):
            # One after the other never got as far as a trial, and the next would not either.
            self._events.append(Broken(f"{error} while it loaded the task", f"see {self.log}"))
            return
        self._start_worker(worker.slot, forked=False)
        self._hand_on()

    def _quarantine(self, worker: LocalWorker) -> dict[int, int]:
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
