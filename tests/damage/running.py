"""A command in a child of this process, which has paid for the imports, with a deadline."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.damage.structure import SECRET

MEMORY = 12 << 30
"""Bytes of address space that a command may have."""


@dataclass
class Ran:
    """A command that has ended; ``status`` is None where it hung."""

    status: int | None
    out: str
    err: str
    seconds: float


def run(
    command: Callable[[], None], place: Path, env: dict[str, str], told: Path, deadline: float
) -> Ran:
    """Run ``command`` in a child whose working folder is ``place``; what it prints goes to ``told``."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()
            os.chdir(place)
            os.environ.clear()
            os.environ.update(env)
            _redirect(told)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            command()
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    status = _wait(child, began + deadline)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it left behind
    if status is None:
        os.waitpid(child, 0)
    out, err = ((told / name).read_text(errors="backslashreplace") for name in ("out", "err"))
    return Ran(status, out, err, time.monotonic() - began)


def _redirect(told: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(told / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)


def _wait(child: int, until: float) -> int | None:
    pause = 0.001
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return None


def wrong(ran: Ran, statuses: Sequence[int], raw: bool = False) -> str | None:
    """What is wrong with how a command ended, in a line; None where nothing is.

    Args:
        statuses: what it may end with.
        raw: it prints a file's own text, which may be anything.
    """
    if ran.status is None:
        return "it hangs"
    text = ran.err if raw else ran.out + ran.err
    if "Traceback (most recent call last)" in text:
        return f"a traceback: {_last(text)}"
    if ran.status not in statuses:
        return f"exit status {ran.status}: {_last(ran.err or ran.out)}"
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    if ran.status == 2 and (len(errors) != 1 or not ran.err.rstrip().endswith(errors[0].rstrip())):
        return f"status 2 without one line of error at the end: {ran.err[-200:]!r}"
    if any(len(line) > 5000 for line in ran.err.splitlines()):
        return f"a line of {max(map(len, ran.err.splitlines()))} characters on stderr"
    if "Warning" in ran.err:
        return f"a warning: {_last(ran.err)}"
    if SECRET in ran.out + ran.err:
        return "it shows what a link outside holds"
    if not raw and (
        odd := {c for c in ran.out + ran.err if not c.isprintable() and c not in "\n\t\r"}
    ):
        return f"it prints control characters: {sorted(odd)!r}"
    return None


def _last(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    raised = [line for line in lines if ": " in line and not line.startswith((" ", "\t"))]
    return (raised or lines)[-1][:300]
