"""A call that may never return, as one into a driver, and how long to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

_Found = TypeVar("_Found")


def within(seconds: float, call: Callable[[], _Found]) -> _Found:
    """What ``call`` gives, or raises, in a thread of its own; this process may end though it does not.

    Raises:
        TimeoutError: it has not returned yet. Its thread goes on.
    """
    found: Future[_Found] = Future()

    def run() -> None:
        try:
            found.set_result(call())
        except BaseException as error:
            found.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)  # not for its result alone: a process that is copied is to have one thread
    if thread.is_alive():
        raise TimeoutError
    # The system ends a thread a moment after Python does.
    seen, until = Path(f"/proc/self/task/{thread.native_id}"), monotonic() + 1.0
    while seen.exists() and monotonic() < until:
        sleep(0.001)
    return found.result()
