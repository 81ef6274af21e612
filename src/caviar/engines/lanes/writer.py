"""Threads that write files while the lanes train on."""

from __future__ import annotations

import heapq
import queue
import threading
import traceback
from collections.abc import Callable
from itertools import count
from time import monotonic

Thing = Callable[[], None]

THREADS = 4
"""Almost all that they do is to wait for the disk, which takes several fsyncs at a time as one."""


class Writer:
    """Calls functions off the training thread: those of one run one after the other, in their order.

    An error that a function raises is kept for `check`.

    Args:
        threads: how many runs it writes at a time.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._error: BaseException | None = None
        self._queues = [queue.SimpleQueue[tuple[float, Thing] | None]() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._work, args=(own,), daemon=True, name="caviar-files")
            for own in self._queues
        ]
        for thread in self._threads:
            thread.start()

    def do(self, run: int, thing: Thing, after: float = 0.0) -> None:
        """Have it done for a run.

        Args:
            after: seconds to wait before it; what comes later for the run does not wait for it then.
        """
        due = monotonic() + after if after else 0.0
        self._queues[run % len(self._queues)].put((due, thing))

    def check(self) -> None:
        """Raise what went wrong since the last look."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Wait until all is written."""
        for own in self._queues:
            own.put(None)
        for thread in self._threads:
            thread.join()
        self.check()

    def _work(self, own: queue.SimpleQueue[tuple[float, Thing] | None]) -> None:
        later: list[tuple[float, int, Thing]] = []
        number = count()
        while True:
            wait = max(0.0, later[0][0] - monotonic()) if later else None
            try:
                item = own.get(timeout=wait)
            except queue.Empty:
                self._do(heapq.heappop(later)[2])
                continue
            if item is None:
                break
            due, thing = item
            if due:
                heapq.heappush(later, (due, next(number), thing))
            else:
                self._do(thing)
        while later:
            self._do(heapq.heappop(later)[2])

    def _do(self, thing: Thing) -> None:
        try:
            thing()
        except BaseException as error:
            traceback.print_exc()
            self._error = error
