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

from caviar.reports import at_end
from tests.waiting import until


@dataclass
class Copy:
    """A program under way.

    Attributes:
        output, errors: files of what it says; they may be one.
        returncode: its exit status, once `poll` has seen that it ended.
    """

    pid: int
    output: Path
    errors: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 120.0) -> int:
        until(lambda: self.poll() is not None, f"it ends: {self.output.read_text()}", timeout)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = 120.0) -> tuple[str, str]:
        self.wait(timeout)
        return self.output.read_text(), self.errors.read_text()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, of which no process knows anything; nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def begin(
    words: Sequence[str],
    folder: Path,
    output: Path,
    errors: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Copy:
    """Start ``python -m MODULE …``, of which ``words`` are what comes after ``-m``, in ``folder``.

    What it says goes to the end of the file ``output``; of errors, where a file is named, to that one.
    """
    errors = errors or output
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 on: threads
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            for number, path in ((1, output), (2, errors)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
            sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
            os.environ.update(environment or {})
            at_end.subprocess = Copies(folder / f"{output.stem}-at-end")  # type: ignore[assignment]
            status = _run(words, folder)
        finally:
            os._exit(status)
    output.touch()
    return Copy(pid, output, errors)


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

    PIPE, DEVNULL, TimeoutExpired = subprocess.PIPE, subprocess.DEVNULL, subprocess.TimeoutExpired

    def __init__(self, output: Path) -> None:
        self.output = output

    def Popen(  # noqa: N802
        self, line: Sequence[str], cwd: Any = ".", env: Any = None, stdout: Any = None, **_: Any
    ) -> Copy:
        python, *words = [word for word in line if word != "-P"]
        assert (python, words[0]) == (sys.executable, "-m"), line
        errors = self.output.with_suffix(".err") if stdout == self.PIPE else None
        return begin(words[1:], Path(cwd).absolute(), self.output, errors, env)

    def run(
        self, line: Sequence[str], cwd: Any = ".", env: Any = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(list(line), self.Popen(line, cwd, env).wait())
