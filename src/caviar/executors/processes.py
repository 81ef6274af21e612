"""How a worker process comes up: as a copy of this one, or as a new interpreter; or see `forkserver`.

A copy (`os.fork`) has all that the program has imported, at once: where a script imports torch at its
top, its controller has it, and a new interpreter would import it a second time.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from caviar.base.signals import ASK_TO_END
from caviar.executors.gpus import visible_gpus
from caviar.executors.slots import Slot
from caviar.runs.inside import open_inside

# The worker gets the controller's sys.path before its first import, so both find the same modules.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from caviar.executors.worker import main; main(int(sys.argv[2]))"
)


def interpreter(descriptor: int) -> list[str]:
    """The command line of a new interpreter that serves the connection on ``descriptor``."""
    return [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(descriptor)]


def spawn(slot: Slot, descriptor: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a new interpreter that serves the connection on ``descriptor``, within ``slot``."""
    with open_inside(log, "ab") as file:
        return subprocess.Popen(
            interpreter(descriptor),
            env={**os.environ, **slot.env},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def fork(slot: Slot, serve: Callable[[], object], log: Path) -> Forked:
    """Start a copy of this process that calls ``serve`` within ``slot`` and ends."""
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal for the controller is no signal for the copy, which as yet has its handlers.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ASK_TO_END)
    pid = copied()
    if pid == 0:
        become(slot, serve, log, blocked)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    with suppress(OSError):
        os.setpgid(pid, pid)  # here and in the copy: whichever comes first, it can be killed whole
    return Forked(pid)


def copied() -> int:
    """`os.fork`, which from Python 3.12 on warns of threads: who calls this has looked for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def limit_threads(threads: int) -> Callable[[], None]:
    """Hold this process's numerical libraries, and so those of its copies, to this many threads.

    The environment is read when a library is loaded: those that are, must be told. Told in a copy,
    OpenBLAS would start its threads there anew, and each keeps a core busy for 30 ms.

    Returns:
        what gives this process its threads back.
    """
    if "numpy" not in sys.modules:
        return lambda: None
    from threadpoolctl import threadpool_limits

    return threadpool_limits(threads).restore_original_limits


def why_not_forked(slot: Slot) -> str | None:
    """What speaks against a copy of this process on this slot; None where nothing does."""
    if not sys.platform.startswith("linux"):
        return f"libraries on {sys.platform} do not bear it"
    if visible_gpus():
        return "here are GPUs: a process must know which are its own before it imports anything"
    others = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    others += [f"{count} of a library" for count in [library_threads()] if count > 0]
    if others:
        return f"this program has threads, which a copy would lack: {', '.join(others)}"
    if "torch" in sys.modules and slot.env["OMP_NUM_THREADS"] != "1":
        # GNU's OpenMP hangs in a copy of a process that has used it; with one thread it is not used.
        return "this program has loaded torch, and a copy could use one thread of it only"
    return None


def library_threads() -> int:
    """Threads that Python does not know of, and that would not be there again in a copy.

    OpenBLAS has some from its import on, jemalloc one: both see to it themselves.
    """
    running = 0
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has just ended
            running += "jemalloc" not in Path(f"/proc/self/task/{task}/comm").read_text()
    known = threading.active_count()
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_info

        pools = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
        known += sum(pool["num_threads"] - 1 for pool in pools)
    return running - known


class Forked:
    """A copy of this process, by its pid."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, or minus the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it has not ended in that many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            ended, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
            elif deadline is not None:
                if time.monotonic() >= deadline:
                    raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0)
                time.sleep(0.001)
        return self._code


def become(slot: Slot, serve: Callable[[], object], log: Path, unblocked: set[int]) -> NoReturn:
    """Make this copy a worker (signals, streams, exit handlers, threads), and let it serve.

    Args:
        unblocked: the signals that stay blocked in it.
    """
    try:
        os.setpgid(0, 0)
        atexit._clear()  # the program's own process does what it left for its exit
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        with open(os.devnull, "rb") as nothing, open_inside(log, "ab") as file:
            for source, target in ((nothing, 0), (file, 1), (file, 2)):
                os.dup2(source.fileno(), target)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # a notebook puts its own there
        os.environ.update(slot.env)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(slot.env["OMP_NUM_THREADS"]))
        # All copies would draw the same; torch starts with one and the same seed in any process.
        random.seed()
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()
        serve()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    os._exit(1)
