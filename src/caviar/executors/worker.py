"""A worker process: loads the task once, then runs trial after trial until its controller is gone."""

from __future__ import annotations

import importlib
import logging
import os
import queue
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from caviar.executors.base import TaskSource
from caviar.trials import Broken, Event, Job, Ready, Reported, Started


@dataclass(frozen=True)
class Hello:
    """The first message to a worker."""

    label: str
    task: TaskSource


@dataclass(frozen=True)
class Goodbye:
    """The last: end when the trial under way is done."""


def main(descriptor: int) -> None:
    """Serve a controller over the connection on this file descriptor."""
    # Ctrl-C is for the controller to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker(Connection(descriptor)).serve()


class Worker:
    """The worker's end of the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Take jobs until told Goodbye, or until the controller is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        hello = self._inbox.get()
        # Imported here: while it loads, the listener already notices a controller that went away.
        from caviar.engines.solo import Solo

        logging.basicConfig(
            level=logging.INFO,
            stream=sys.stdout,
            format="[%(asctime)s][%(name)s][%(levelname)s] %(message)s",
        )
        try:
            engine = Solo(load_task(hello.task))
        except BaseException as error:
            self.send(Broken(f"{type(error).__name__}: {error}", traceback.format_exc()))
            return
        self.send(Ready(hello.label))
        while True:
            job = self._inbox.get()
            if isinstance(job, Goodbye):
                return
            self.send(Started(job.number, hello.label))
            self.send(engine.run(job, _Listener(self, job)))

    def send(self, event: Event) -> None:
        """Tell the controller something; end this process if it is gone."""
        try:
            with self._sending:
                self._connection.send(event)
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
            self._inbox.put(message)
            if isinstance(message, Goodbye):
                return


class _Listener:
    """Sends a trial's intermediate values on."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker = worker
        self._number = job.number

    def reported(self, value: float, step: int) -> None:
        self._worker.send(Reported(self._number, value, step))


def _end_process_group() -> None:
    # The worker leads a group of its own; what its trial started (data loaders, ranks) is in it.
    os.killpg(os.getpgid(0), signal.SIGKILL)


def load_task(source: TaskSource) -> Callable[[Any], Any]:
    """Import the app's module, or run its script, and find the task function there.

    A script may call its entry without an ``if __name__ == "__main__"`` guard. That call would start
    the whole app again, so while the module loads Hydra's entry does nothing but note the function.

    Raises:
        AttributeError: the function is not at the top of the module.
    """

    hydra_main = sys.modules["hydra.main"]
    noted: list[Callable[[Any], Any]] = []

    def note(*_: Any, task_function: Callable[[Any], Any], **__: Any) -> None:
        noted.append(task_function)

    original = hydra_main._run_hydra  # type: ignore[attr-defined]
    hydra_main._run_hydra = note  # type: ignore[attr-defined]
    arguments, sys.argv = sys.argv, [source.path or source.module or ""]
    try:
        if source.module is not None:
            found = vars(importlib.import_module(source.module))
        else:
            assert source.path is not None
            found = runpy.run_path(source.path, run_name="__mp_main__")
            _become_main(found)
    except SystemExit:
        # Without a guard, `sys.exit(main())` is the script's last line.
        found = {}
    finally:
        hydra_main._run_hydra = original  # type: ignore[attr-defined]
        sys.argv = arguments
    task = found.get(source.name)
    if task is None:
        task = next((t for t in noted if t.__name__ == source.name), None)
    if task is None:
        raise AttributeError(
            f"the task function {source.name} is not at the top of {source.module or source.path}; "
            "executor=inline runs it as it is"
        )
    # A function that `hydra.main` decorated takes a config and passes it straight on.
    return task


def _become_main(names: dict[str, Any]) -> None:
    # What a script defines is `__main__.Thing` in its configs and pickles, as in the controller.
    module = type(sys)("__mp_main__")
    module.__dict__.update(names)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
