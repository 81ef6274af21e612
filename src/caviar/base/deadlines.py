"""A call that may never return, as one into a driver, and how long to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
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
    return found.result()
