"""Programs run as copies of one process, which has imported already what takes each of them seconds.

A copy is a process as any other: with signals, pipes, a folder and an environment of its own. What a
test asks of the start of an interpreter itself (its imports, its variables) needs `subprocess`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import os
import pickle
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Generator, Sequence
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import PIPE, CompletedProcess, TimeoutExpired
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
LONGEST = 1 << 17
"""Bytes of a request: a command line and an environment."""
GIVEN = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": None, "PYTHONWARNINGS": None}
"""Variables that are read once, when an interpreter begins, and what they are for every copy."""


class Popen(subprocess.Popen[Any]):
    """As `subprocess.Popen`, of ``python -m MODULE …`` or ``python FILE …``."""

    _status = -1

    def _execute_child(  # type: ignore[override]
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any,
        env: Any, startupinfo: Any, creationflags: Any, shell: Any, *rest: Any,
    ) -> None:  # fmt: skip
        python, *words = map(str, args)
        assert (python, preexec_fn, tuple(pass_fds), shell) == (sys.executable, None, (), False)
        own, theirs = os.pipe()
        p2cread, _, _, c2pwrite, _, errwrite = rest[:6]
        files = [used if used != -1 else n for n, used in enumerate((p2cread, c2pwrite, errwrite))]
        folder, environment = os.path.abspath(cwd or "."), dict(os.environ if env is None else env)
        other = [name for name, value in GIVEN.items() if environment.get(name, value) != value]
        assert not other, f"a copy cannot have another {other[0]}: use subprocess"
        request = pickle.dumps((words, folder, environment | _OWN, rest[-2]))
        socket.send_fds(original(), [request], [*files, theirs])
        os.close(theirs)
        self._status, self.pid, self._child_created = own, self._number(own), True
        self._close_pipe_fds(*rest[:6])  # type: ignore[attr-defined]

    @staticmethod
    def _number(file: int) -> int:
        read = os.read(file, 4)
        return array.array("i", read)[0] if read else -signal.SIGKILL

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            if not wait([self._status], timeout):
                raise TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number(self._status)
            os.close(self._status)
        return self.returncode

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        with contextlib.suppress(TimeoutExpired):
            self._wait(0)
        return self.returncode


def run(
    line: Sequence[Any],
    *,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> CompletedProcess[Any]:
    """As `subprocess.run`."""
    if capture_output:
        options |= {"stdout": PIPE, "stderr": PIPE}
    with Popen(line, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


AS_SUBPROCESS = SimpleNamespace(**{**vars(subprocess), "Popen": Popen, "run": run})
"""What takes the place of the module `subprocess` where caviar starts commands of its own."""

_OWN = {name: value for name, value in GIVEN.items() if value}
_requests: list[socket.socket] = []
"""The way to the process that all copies are copies of; in a copy, too."""


def original() -> socket.socket:
    """Where requests go to; that process is started with the first one, and ends with this one."""
    if not _requests:
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        _requests.append(stack.enter_context(begun(sys.executable, ROOT, dict(os.environ))))
    return _requests[0]


@contextlib.contextmanager
def begun(python: str, tree: Path, environment: dict[str, str]) -> Generator[socket.socket]:
    """A process that all copies are copies of, in a tree, by its interpreter; and the way to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    life, alive = os.pipe()
    numbers = [theirs.fileno(), ours.fileno(), life]
    environment = {n: value for n, value in environment.items() if n not in GIVEN} | _OWN
    line = [python, "-m", "tests.copies", *map(str, numbers)]
    process = subprocess.Popen(line, cwd=tree, env=environment, pass_fds=numbers)
    theirs.close()
    os.close(life)
    try:
        yield ours
    finally:
        ours.close()
        os.close(alive)
        process.wait()


def stand_in(way: int) -> None:
    """Be this program as a copy, asked for at ``way``: with its signals, and ending as it ends."""
    _requests.append(socket.socket(fileno=way))
    process = Popen([sys.executable, *sys.argv[1:]])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: process.send_signal(number))
    status = process.wait()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def serve(requests: socket.socket, way_here: socket.socket, life: int) -> None:
    """Copy this process for each request, and say how each copy ended, until ``life`` is at its end."""
    _import_all()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; it is for the copies
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tell: dict[int, int] = {}
    while True:
        ready = wait([requests, woken, life])
        if life in ready:
            return
        if woken in ready:
            woken.recv(4096)
            for pid in list(tell):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    _say(tell[pid], os.waitstatus_to_exitcode(status))
                    os.close(tell.pop(pid))
        if requests in ready:
            message, files, _, _ = socket.recv_fds(requests, LONGEST, 4)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for one in (requests, woken, wake):
                    one.close()
                for file in [*tell.values(), files[3], life]:
                    os.close(file)
                _become(way_here)
                _be(files[:3], *pickle.loads(message))
            tell[pid] = files[3]
            _say(files[3], pid)
            for file in files[:3]:
                os.close(file)


def _say(file: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(file, array.array("i", [number]).tobytes())


def _become(way_here: socket.socket) -> None:
    """Have what starts caviar's own commands in a copy start copies, too."""
    from caviar.confirm import plan
    from caviar.panda import again
    from caviar.reports import at_end

    _requests.append(way_here)
    for module in (at_end, plan, again):
        module.subprocess = AS_SUBPROCESS  # type: ignore[attr-defined]


def _import_all() -> None:
    """Import what takes a program long: all of ours, and what that imports only when it is called."""
    import alembic.command  # noqa: F401
    import optuna.visualization  # noqa: F401
    import pandas  # noqa: F401
    import psycopg  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import rich.console
    import rich.live
    import rich.markdown
    import rich.progress
    import rich.table
    import rich.traceback  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import sqlalchemy.orm  # noqa: F401
    import torchmetrics.classification
    import torchmetrics.regression  # noqa: F401
    import typer.rich_utils  # noqa: F401
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    import caviar
    import project as ours  # a rename changes the one place that names it
    from hydra_plugins import caviar_sweeper  # noqa: F401

    for package in (caviar, ours):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # The kernel's need Triton, which is for a GPU; no copy has one.
            if not found.name.endswith(".__main__") and ".kernel." not in found.name:
                import_module(found.name)
    # What the two grammars look up is remembered.
    OverridesParser.create().parse_overrides(["a.b=1", "+c='d e'", "f=tag(log, interval(0.1, 2))"])
    OmegaConf.create({"a": "${b.c}", "b": {"c": "${oc.env:HOME,''}"}}).a  # noqa: B018


def _be(files: list[int], words: list[str], folder: str, env: dict[str, str], own: bool) -> None:
    """Run ``python WORDS…`` in ``folder``, and end as an interpreter ends."""
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        if own:
            os.setsid()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        os.execv = _execute
        _begin(words)
    finally:
        os._exit(1)


def _execute(file: str, line: Sequence[str]) -> None:
    """In place of `os.execv`: a program or a module that Python is to run goes on in this copy."""
    if file != sys.executable or "-c" in line:
        _execv(file, line)
    _begin([*line[1:]])


_execv = os.execv


def _begin(words: list[str]) -> None:
    status = 1
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        encoding = os.environ.get("PYTHONIOENCODING", "utf-8").split(":")[0]
        line = 1 if os.isatty(1) else -1
        sys.stdin = os.fdopen(0, encoding=encoding, closefd=False)
        sys.stdout = os.fdopen(1, "w", line, encoding=encoding, closefd=False)
        spelt = "backslashreplace"
        sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors=spelt, closefd=False)
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
        sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        import numpy as np

        np.random.seed()
        status = _program(words)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(status)


def _program(words: list[str]) -> int:
    sys.orig_argv = [sys.executable, *words]
    words = [word for word in words if word != "-P"]
    if words[0] == "-W":
        warnings.simplefilter(words[1])  # type: ignore[arg-type]
        words = words[2:]
    try:
        if words[0] == "-m":
            sys.modules.pop(words[1], None)
            sys.path[0] = os.getcwd()
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            file = os.path.abspath(words[0])
            sys.path[0] = os.path.dirname(file)
            sys.argv = words
            # `runpy.run_path` would change the name by which it was called.
            program = sys.modules["__main__"] = ModuleType("__main__")
            program.__file__ = file
            exec(compile(Path(file).read_bytes(), file, "exec"), program.__dict__)
    except SystemExit as ended:
        if ended.code is not None and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)
    except KeyboardInterrupt:
        traceback.print_exc()
        raise
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _to, _from, _life = map(int, sys.argv[1:])
    serve(socket.socket(fileno=_to), socket.socket(fileno=_from), _life)
