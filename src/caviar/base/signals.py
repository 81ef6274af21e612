"""Signals that ask this process to end: who hears of them, and the exit status that says so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Self

ASK_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Ctrl-C; what systemd, docker and batch systems send; what Slurm sends where a job asks for it."""

GRACE_SECONDS = 20.0
"""How long a training may take to leave a checkpoint when the machine is taken away (Slurm gives 30)."""


class Interrupted(BaseException):
    """Ends a training wherever it is: nothing that catches an Exception may hold it up."""


def exit_status(signum: int) -> int:
    """What a shell says of a process that a signal ended: 130 for Ctrl-C, 143 for the others.

    SIGUSR2 is Slurm's way to say SIGTERM in advance.
    """
    return 128 + (signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


@contextmanager
def heard(
    hear: Callable[[int], None], numbers: tuple[signal.Signals, ...] = ASK_TO_END
) -> Generator[dict[int, object]]:
    """Have ``hear`` called with the number of each such signal for as long as the block lasts.

    Only the main thread can: in another one nothing changes. A copy of this process (a data loader's
    worker) has its own end: Ctrl-C is left to its parent, the others end it as if nobody heard them.

    Returns:
        what handled each signal before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    here = os.getpid()

    def handle(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == here:
            hear(signum)
        elif signum != signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    before: dict[int, object] = {int(n): signal.signal(n, handle) for n in numbers}
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]


@contextmanager
def ending_in_order() -> Generator[None]:
    """Let SIGTERM and SIGUSR2 end this process as Ctrl-C does: by an exception, so that it tidies up.

    Raises:
        SystemExit: one of them came.
    """

    def end(signum: int) -> None:
        # Once is enough: tidying up is not to be cut short.
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        os.write(2, b"terminated\n")
        raise SystemExit(exit_status(signum))

    with heard(end, (signal.SIGTERM, signal.SIGUSR2)):
        yield


class Asked:
    """Whether the training in this process has been asked to end.

    The first signal lets it come to the end of its epoch, where a checkpoint can be gone on from
    exactly. Ctrl-C again, or `GRACE_SECONDS` after the first, ends it wherever it is. Use it in a
    ``with`` block.

    Attributes:
        signum: the first signal; None while there was none.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._late = False
        self._heard = heard(self._hear)
        self._timer: threading.Timer | None = None

    def __call__(self) -> bool:
        return self.signum is not None

    def __enter__(self) -> Self:
        self._heard.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._heard.__exit__(None, None, None)

    def _hear(self, signum: int) -> None:
        if self.signum is None:
            self.signum = signum
            self._timer = threading.Timer(GRACE_SECONDS, self._end_now)
            self._timer.daemon = True
            self._timer.start()
            # Not print: it may be in the middle of one.
            os.write(2, b"ending with this epoch, with a checkpoint; Ctrl-C: now\n")
        elif signum == signal.SIGINT or self._late:
            raise Interrupted("it could not wait for the end of the epoch")

    def _end_now(self) -> None:
        self._late = True
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGTERM)
