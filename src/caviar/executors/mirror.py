"""Run folders over a connection: what changed in them is sent, and written at the other end.

For machines that share no disk with their controller. A message that belongs behind files (a trial's
end behind its run folder, a job behind the checkpoints that it goes on from) waits for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from caviar.base.errors import UsageError
from caviar.executors.channel import Channel
from caviar.runs.folder import LOG, RESULT
from caviar.runs.inside import make_folders, open_inside, remove_inside

PIECE = 1 << 18
AHEAD = 4 << 20
"""Bytes that may wait for the network: more is read from the disk only when they have gone."""


@dataclass(frozen=True)
class Piece:
    """A piece of a file of a run folder.

    Attributes:
        number: the trial's.
        name: the file's, within the run folder.
        start: where in the file it belongs.
        data: what stands there; None where the file is gone.
        last: whether it is the last of the file.
        grown: whether the file has only become longer: what stands before ``start`` stays.
    """

    number: int
    name: str
    start: int
    data: bytes | None
    last: bool
    grown: bool = False


class Mirror:
    """What the other end has of a trial's run folder."""

    def __init__(self, number: int, folder: Path) -> None:
        self._number = number
        self._folder = folder
        self._seen: dict[str, tuple[int, int, int]] = {}

    def changes(self, checkpoints: bool = True) -> Iterator[Piece]:
        """What has changed since the last call, ``result.json`` at the end; reads as it goes.

        Args:
            checkpoints: whether they are sent too; the other files are small.
        """
        found = self._files()
        for name in sorted(found, key=lambda name: (name == RESULT, name)):
            if checkpoints or not name.endswith(".ckpt"):
                with suppress(OSError):  # a link, or taken away since it was listed
                    yield from self._file(name)
        if checkpoints:
            for name in self._seen.keys() - found:
                del self._seen[name]
                yield Piece(self._number, name, 0, None, last=True)

    def note(self) -> None:
        """Take all that is there as what the other end has: it came from there."""
        for name in self._files():
            with suppress(OSError):
                self._seen[name] = _stamp(os.stat(self._folder / name))

    def _files(self) -> set[str]:
        found: set[str] = set()
        for folder, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = PurePosixPath(Path(folder).relative_to(self._folder).as_posix())
            found.update(str(inside / name) for name in names if not name.startswith("."))
        return found

    def _file(self, name: str) -> Iterator[Piece]:
        with open_inside(self._folder / name, "rb") as file:
            stamp, before = _stamp(os.fstat(file.fileno())), self._seen.get(name)
            if stamp == before:
                return
            at, size, grown = 0, stamp[2], False
            # Only a log is certain to have grown at its end alone.
            if before and PurePosixPath(name).name == LOG:
                grown = before[0] == stamp[0] and before[2] <= size
                at = file.seek(before[2] if grown else 0)
            last = False
            while not last:
                data = file.read(min(PIECE, size - at))
                last = at + len(data) >= size or not data
                yield Piece(self._number, name, at, data, last, grown)
                at += len(data)
            self._seen[name] = stamp


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_size


def write(folder: Path, piece: Piece) -> None:
    """Write a piece that came from the other end; a file is moved in when it is whole.

    Raises:
        UsageError: its name leads out of the run folder, or a link stands in its way.
        OSError: it cannot be written.
    """
    name = PurePosixPath(piece.name)
    if name.is_absolute() or any(part.startswith(".") for part in name.parts) or not name.parts:
        raise UsageError(f"{piece.name}: no file of a run folder")
    path = folder / name
    if piece.data is None:
        with suppress(FileNotFoundError):
            remove_inside(path)
        return
    make_folders(path.parent)
    partial = path if piece.grown else path.with_name(f".{path.name}.sent.partial")
    new = piece.start == 0 or (piece.grown and not path.exists())
    with open_inside(partial, "wb" if new else "r+b") as file:
        file.seek(piece.start)
        file.write(piece.data)
        file.truncate()
    if piece.last and not piece.grown:
        os.replace(partial, path)


class Outbox:
    """Messages that wait for files to be sent before them; trials take turns."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: dict[int, Iterator[Any]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, number: int, pieces: Iterator[Piece], *messages: Any) -> None:
        """Send a trial's files, behind what waits for it already, and then the messages."""
        self._waiting[number] = chain(self._waiting.get(number, ()), pieces, messages)

    def pump(self) -> None:
        """Send as much as may wait for the network."""
        while self._waiting and self._channel.pending < AHEAD:
            number = next(iter(self._waiting))
            waiting = self._waiting.pop(number)
            if (message := next(waiting, None)) is not None:
                self._channel.send(message)
                self._waiting[number] = waiting  # behind the others
