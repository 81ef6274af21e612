"""Programs run as copies of this process, which has imported already what takes them seconds."""

import os
import runpy
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import until


@dataclass
class Copy:
    """A program under way; ``output`` holds what it says."""

    pid: int
    output: Path
    status: int | None = None

    def poll(self) -> int | None:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self, deadline: float = 120.0) -> int:
        until(lambda: self.poll() is not None, f"it ends: {self.output.read_text()}", deadline)
        assert self.status is not None
        return self.status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, of which no process knows anything; nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def begin(
    words: Sequence[str], folder: Path, output: Path, environment: Mapping[str, str] | None = None
) -> Copy:
    """Start ``python -m MODULE …``, of which ``words`` are what comes after ``-m``, in ``folder``."""
    output.touch()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 on: threads
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            file = os.open(output, os.O_WRONLY | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
            os.environ.update(environment or {})
            status = _run(words, folder)
        finally:
            os._exit(status)
    return Copy(pid, output)


def _run(words: Sequence[str], folder: Path) -> int:
    os.chdir(folder)
    os.environ["PWD"] = str(folder)
    warnings.resetwarnings()  # as a new interpreter has them: the tests' are errors
    module, *arguments = words
    sys.modules.pop(module, None)
    sys.orig_argv = [sys.executable, "-m", *words]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


class Copies:
    """What takes the place of the module `subprocess` where ``python -m MODULE …`` is started."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def Popen(self, line: Sequence[str], cwd: Any, env: Any = None) -> Copy:  # noqa: N802
        python, *words = [word for word in line if word != "-P"]
        assert (python, words[0]) == (sys.executable, "-m"), line
        return begin(words[1:], Path(cwd), self.output, env)

    def run(
        self, line: Sequence[str], cwd: Any, env: Any = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        status = self.Popen(line, cwd, env).wait()
        return subprocess.CompletedProcess(list(line), status)
