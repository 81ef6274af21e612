"""A worker process: loads the task once, then lets its engine train until its controller is gone."""

from __future__ import annotations

import atexit
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from caviar.base.collecting import uncollected
from caviar.base.errors import name_and_text
from caviar.base.hydra_versions import trusting
from caviar.base.messages import Broken, Event, Job, Ready, Started
from caviar.base.signals import heard
from caviar.base.streams import make_patient
from caviar.executors.task import TaskSource, load_task

_RANKS = (
    *("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE", "SLURM_PROCID", "SLURM_LOCALID"),
    *("SLURM_NODEID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"),
)
"""What Slurm says of a process's place among those of its job."""


@dataclass(frozen=True)
class Hello:
    """The first message to a worker: who it is, what it runs, and how.

    Attributes:
        workers: how many workers share the sweep's trials, this one included. An engine with many lanes
            takes no more than its share.
        engine: keyword arguments of `caviar.engines.make.make_engine`.
    """

    label: str
    task: TaskSource
    workers: int
    engine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prune:
    """End this trial at its next report."""

    number: int


@dataclass(frozen=True)
class Stop:
    """Let this trial fail now, without the others that are under way."""

    number: int
    why: str


@dataclass(frozen=True)
class Interrupt:
    """Leave a checkpoint of every trial under way and end it."""


@dataclass(frozen=True)
class Goodbye:
    """The last: end when the trials under way are done."""


def main(descriptor: int, task: Callable[[Any], Any] | None = None) -> None:
    """Serve a controller over the connection on this file descriptor.

    Args:
        task: the task function, in a copy of the controller, which has it; else it is loaded.
    """
    make_patient()
    for name in _RANKS:
        os.environ.pop(name, None)  # a trial is a training by itself, not a rank of a larger one
    # Ctrl-C is for the controller to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A crash leaves its traceback in this process's log, though a trial's output may go elsewhere then.
    faulthandler.enable(os.dup(2))
    Worker(Connection(descriptor)).serve(task)
    _leave()


class MessageBox:
    """What the controller has sent: an `engines.base.Inbox`."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._pruned: set[int] = set()
        self._stopped: dict[int, str] = {}
        self.closed = False
        self.interrupted = False
        self.leaving = False

    def put(self, message: Any) -> None:
        """Take in a message; called by the listening thread."""
        if isinstance(message, Job):
            self._jobs.put(message)
        elif isinstance(message, Prune):
            self._pruned.add(message.number)
        elif isinstance(message, Stop):
            self._stopped[message.number] = message.why
        elif isinstance(message, Interrupt):
            self.interrupted = True
        elif isinstance(message, Goodbye):
            self.closed = True
            self._jobs.put(None)  # wakes an engine that waits

    def leave(self) -> None:
        """This process is to go, whatever its controller does: let go of all, and take no more."""
        self.leaving = self.interrupted = True
        self.put(Goodbye())

    def take(self, timeout: float | None) -> Job | None:
        """The next job; None where none comes in time, or none will."""
        if self.leaving or (self.closed and self._jobs.empty()):
            return None
        try:
            job = self._jobs.get(timeout != 0, timeout or None)
        except queue.Empty:
            return None
        if job is not None:
            self._pruned.discard(job.number)
        return job

    def pruned(self, number: int) -> bool:
        """Whether the trial is to end at its next report."""
        return number in self._pruned

    def stopped(self, number: int) -> str | None:
        """Why the trial is to end now; None where it is not."""
        return self._stopped.get(number)


class Worker:
    """The worker's end of the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._hello: queue.SimpleQueue[Hello] = queue.SimpleQueue()
        self._inbox = MessageBox()
        self._label = ""

    def serve(self, task: Callable[[Any], Any] | None = None) -> None:
        """Let the engine run jobs until told Goodbye, or until the controller is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        hello = self._hello.get()
        self._label = hello.label
        logging.basicConfig(
            level=logging.INFO,
            stream=sys.stdout,
            format="[%(asctime)s][%(name)s][%(levelname)s] %(message)s",
            force=True,  # a copy of the controller has its handlers
        )
        try:
            with uncollected():
                # Imported here: while it loads, the listener notices a controller that went away.
                from caviar.engines.make import make_engine

                own = task or load_task(hello.task)
                engine = make_engine(own, workers=hello.workers, **hello.engine)
        except BaseException as error:
            self.send(Broken(name_and_text(error), traceback.format_exc()))
            return
        # A batch system signals every process of a job; what is under way is then not to be lost.
        with (
            heard(lambda _: self._inbox.leave(), (signal.SIGTERM, signal.SIGUSR2)),
            trusting(hello.task.whitelist),
        ):
            self.send(Ready(lanes=engine.lanes))
            engine.serve(self._inbox, self.send)

    def send(self, *events: Event) -> None:
        """Tell the controller something; end this process if it is gone."""
        if self._inbox.leaving:
            events = (*events, Ready(lanes=0))  # or what it just let go of would come back to it
        labelled = tuple(
            replace(event, worker=self._label) if isinstance(event, Ready | Started) else event
            for event in events
        )
        try:
            with self._sending:
                self._connection.send(labelled)
        except (BrokenPipeError, ConnectionResetError):
            _end_process_group()

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                # The controller was killed: nobody will ever read what this trial returns.
                _end_process_group()
                return
            if isinstance(message, Hello):
                self._hello.put(message)
            else:
                self._inbox.put(message)
            if isinstance(message, Goodbye):
                return


def _leave() -> None:
    """End this process, as `multiprocessing` ends one: what waits for the exit is done, no more.

    The interpreter's own way out takes torch apart, which takes longer than a short trial.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # joins the task's threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_process_group() -> None:
    # The worker leads a group of its own; what its trial started (data loaders, ranks) is in it.
    os.killpg(os.getpgid(0), signal.SIGKILL)
