"""A fork server: a process that imports what trainings need, and whose copies are workers.

An app that says what its trainings import has one as soon as its sweep begins: it imports, seconds long
where torch is among that, while the controller composes, once for all workers, and their memory shares
it. A worker that takes a lost one's place is there at once. Unlike a copy of the controller, such a
worker has run nothing but imports.
"""

from __future__ import annotations

import array
import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import NoReturn

from caviar.base.collecting import uncollected
from caviar.executors.gpus import visible_gpus
from caviar.executors.processes import become, copied, interpreter, library_threads, limit_threads
from caviar.executors.slots import THREADS, Slot

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from caviar.executors.forkserver import serve; serve(int(sys.argv[2]), sys.argv[3:])"
)
_FOR_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
"""Signals that may come to all processes of a job: the server ends when nobody can ask it any more."""

_begun: list[ForkServer] = []


def begin(modules: Sequence[str]) -> None:
    """Start the server of this process's sweep; nothing where its workers would not come of it.

    Args:
        modules: names of what is imported, in this order. One that cannot be is left to the workers,
            whose log says why.
    """
    linux = sys.platform.startswith("linux")
    if _begun or not linux or all(module in sys.modules for module in modules) or visible_gpus():
        return
    _begun.append(ForkServer(modules))
    atexit.register(end)


def begun() -> ForkServer | None:
    """The server that was started here."""
    return _begun[0] if _begun else None


def end() -> None:
    """End that server, if there is one; its workers are told by others."""
    while _begun:
        _begun.pop().close()


class ForkServer:
    """The process, as seen by who asks it for workers.

    Args:
        modules: names of what it imports.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._requests, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(number), *modules],
                # Threads of a library would be missing in a copy.
                env={**os.environ, **dict.fromkeys(THREADS, "1")},
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start(self, slot: Slot, descriptor: int, log: Path) -> Served:
        """A new worker, which serves the connection on ``descriptor``, within ``slot``.

        Returns at once, though the server may still import.

        Raises:
            OSError: the server is gone.
        """
        said, theirs = os.pipe()
        try:
            request = (slot, dict(os.environ), sys.path, os.getcwd(), log)
            self._requests.send(request)
            for number in (descriptor, theirs):
                send_handle(self._requests, number, self._process.pid)  # type: ignore[arg-type]
        except OSError:
            os.close(said)
            raise
        finally:
            os.close(theirs)
        return Served(said)

    def close(self) -> None:
        """End the server."""
        self._requests.close()
        self._process.kill()  # it may be importing
        self._process.wait()


class Served:
    """A worker's process, by what the fork server says of it: first its pid, then its exit status."""

    def __init__(self, said: int) -> None:
        self._said = said
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """Its pid, once it has one.

        Raises:
            ProcessLookupError: the server has ended without.
        """
        if self._pid is None:
            self._pid = self._next()
        if self._pid is None:
            raise ProcessLookupError("the fork server has ended")
        return self._pid

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, or minus the signal that ended it; the server's end counts as SIGKILL.

        Raises:
            subprocess.TimeoutExpired: it has not ended in that many seconds.
        """
        while self._code is None:
            if not wait([self._said], timeout):
                raise subprocess.TimeoutExpired("worker", timeout or 0)
            if self._pid is None:
                with suppress(ProcessLookupError):
                    _ = self.pid
                    continue
            code = self._next()
            self._code = -signal.SIGKILL if code is None else code
            os.close(self._said)
        return self._code

    def _next(self) -> int | None:
        read = os.read(self._said, 4) if self._code is None else b""
        return array.array("i", read)[0] if read else None


def serve(descriptor: int, modules: Sequence[str]) -> None:
    """Import, then copy this process for each request, until nobody is left who could ask."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _FOR_OTHERS}
    with uncollected():
        for module in (*modules, "caviar.executors.worker"):
            with suppress(Exception):
                import_module(module)
    sys.stdout.flush()  # or each copy would say anew what an import has said
    gc.freeze()  # or the first collection of each copy would copy all that memory
    threads = library_threads() > 0 or threading.active_count() > 1
    requests = Connection(descriptor)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tell: dict[int, int] = {}
    while True:
        ready = wait([requests, woken])
        if woken in ready:
            os.read(woken, 4096)
            for pid in list(tell):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    _say(tell[pid], os.waitstatus_to_exitcode(status))
                    os.close(tell.pop(pid))
        if requests in ready:
            try:
                request = requests.recv()
                connection, said = recv_handle(requests), recv_handle(requests)  # type: ignore[arg-type]
            except (EOFError, OSError):
                return
            pid = copied()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for number, handler in before.items():
                    signal.signal(number, handler)
                requests.close()
                for file in (woken, wake, said, *tell.values()):
                    os.close(file)
                _be_worker(threads, connection, *request)
            with suppress(OSError):
                os.setpgid(
                    pid, pid
                )  # here and in the copy: whichever comes first, it can be killed whole
            tell[pid] = said
            _say(said, pid)
            os.close(connection)


def _say(file: int, number: int) -> None:
    with suppress(BrokenPipeError):
        os.write(file, array.array("i", [number]).tobytes())


def _be_worker(
    threads: bool,
    connection: int,
    slot: Slot,
    environment: dict[str, str],
    path: list[str],
    cwd: str,
    log: Path,
) -> NoReturn:
    """Be, in this copy, what `spawn` makes of a new interpreter; that one, if the server has threads."""

    def work() -> None:
        from caviar.executors.worker import main

        if threads:  # which this copy lacks
            os.set_inheritable(connection, True)
            os.execv(sys.executable, interpreter(connection))
        if slot.env["OMP_NUM_THREADS"] != "1":
            limit_threads(int(slot.env["OMP_NUM_THREADS"]))
        main(connection)

    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        sys.path[:] = path
        become(slot, work, log, set())
    finally:
        os._exit(1)
