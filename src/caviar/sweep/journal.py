"""The journal file of a study, hardened: no torn line survives, and a trial waits for no fsync."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from caviar.base.errors import UsageError
from caviar.runs.files import append_whole, sync
from caviar.runs.inside import open_inside

_encode = json.JSONEncoder(separators=(",", ":")).encode  # one for all: to make one takes as long


class Journal(JournalFileBackend):
    """Optuna's journal file, which any Optuna tool reads, with two things mended.

    A line that a kill or a full disk tore makes every later load of the plain backend fail: here the
    tail behind the last newline is cut off, under the lock, before anything is read or appended.
    And the plain backend locks and fsyncs for every value: `batch` writes many entries at once, which
    `sync` sees safe from a power cut.

    Attributes:
        torn: how many bytes of a torn last line were cut when the file was opened.
    """

    def __init__(self, path: Path) -> None:
        # Absolute, because a lock beside a relative path moves with the working directory.
        self._path = path.parent.resolve() / path.name
        open_inside(self._path, "ab").close()
        self._batched: list[dict[str, Any]] | None = None
        self._file_read = False  # whole, since this batch took the lock
        self._lines_read = 0
        self._synced = True
        self._file_lock = JournalFileOpenLock(str(self._path))
        super().__init__(str(self._path), self._file_lock)
        with self._locked():
            self.torn = self._cut_torn_tail()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries: at once, whole and synced, or, inside a `batch`, when it ends."""
        if self._batched is not None:
            if not self._batched:
                self._file_lock.acquire()
            self._batched += logs
            return
        with self._locked():
            self._write(logs)
        self.sync()

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Entries from a number on, those of the batch under way included.

        Only the lines that nobody has read yet are read, however long the file is.
        """
        number = min(log_number_from, self._lines_read)
        # The lock is held since the batch's first entry: no stranger's line can come in between.
        if not (self._file_read and number == self._lines_read):
            for log in self._whole_lines(number):
                number += 1
                self._lines_read = max(number, self._lines_read)
                if number > log_number_from:
                    yield log
            self._file_read = bool(self._batched)
        if self._batched:
            yield from self._batched[max(log_number_from - number, 0) :]

    def _whole_lines(self, number: int) -> Iterator[dict[str, Any]]:
        try:
            for log in super().read_logs(number):
                number += 1
                yield log
        except ValueError as error:
            raise UsageError(f"{self._path}: line {number + 1} is not readable ({error})") from None

    @contextmanager
    def batch(self) -> Generator[None]:
        """Gather all that is appended inside, and write it with one lock, or none of it; may be nested.

        No process that is killed takes back what was written; only `sync` makes it outlast the machine.

        Raises:
            OSError: it could not be written; the file is then as it was before the batch.
        """
        if self._batched is not None:
            yield
            return
        self._batched = []
        try:
            yield
            self._write(self._batched)
        finally:
            locked, self._batched, self._file_read = bool(self._batched), None, False
            if locked:
                self._file_lock.release()

    def sync(self) -> None:
        """Wait until the disk has all that was written.

        Raises:
            OSError: it cannot take it.
        """
        if not self._synced:
            sync(self._path)
            self._synced = True

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._file_lock.acquire()
        try:
            yield
        finally:
            self._file_lock.release()

    def _write(self, logs: list[dict[str, Any]]) -> None:
        if not logs:
            return
        self._cut_torn_tail()
        append_whole(self._path, "".join(_encode(log) + "\n" for log in logs))
        self._synced = False

    def _cut_torn_tail(self) -> int:
        """Cut what follows the last newline; return how many bytes that was. Needs the lock."""
        with open_inside(self._path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end > 0:
                start = max(end - 65536, 0)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
                os.fsync(file.fileno())
            return size - end
