"""Where lanes on a GPU are put together and taken apart: rows on the host, moved many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caviar.engines.stacked.tensors import LaneTensors, Rows

_TOGETHER = 64
"""Lanes that go to the device, or come from it, by one copy, at most."""


class Dock:
    """Gives a lane's row on the host, to write or to read. On a CPU that is the lane's own."""

    def __init__(self, tensors: LaneTensors) -> None:
        self._tensors = tensors
        self._here = tensors.device == "cpu"
        self._coming: dict[int, int] = {}
        self._rows: Rows | None = None
        self._left: set[int] = set()
        self._fetched: tuple[Rows | None, dict[int, int]] = (None, {})

    def to_write(self, lane: int, anew: bool = False) -> tuple[Rows, int]:
        """Where to write a lane: rows, and its number there; it gets to its device by `settle`.

        Args:
            anew: all of it is written; else it is first brought here, where it is not.
        """
        if self._here:
            return self._tensors, lane
        self._left.discard(lane)
        self._fetched = (None, {})
        if lane not in self._coming:
            if len(self._coming) == _TOGETHER:
                self.settle()
            if self._rows is None:
                self._rows = self._tensors.beside(min(_TOGETHER, self._tensors.lanes))
            self._coming[lane] = row = len(self._coming)
            if not anew:
                self._tensors.move([lane], self._rows, [row])
        assert self._rows is not None
        return self._rows, self._coming[lane]

    def empty(self, lane: int) -> None:
        """Nobody is on a lane any more."""
        if self._here:
            self._tensors.clear([lane])
            return
        if lane in self._coming:
            self.settle()
        self._left.add(lane)

    def settle(self) -> None:
        """Send what was written to the lanes, and empty those that were left."""
        if self._left:
            left, self._left = sorted(self._left), set()
            self._tensors.clear(left)
        if self._coming:
            coming, self._coming = self._coming, {}
            assert self._rows is not None
            self._rows.move(list(coming.values()), self._tensors, list(coming))

    def stepped(self) -> None:
        """The lanes have changed: what was fetched is old."""
        self._fetched = (None, {})

    def fetch(self, lanes: Sequence[int]) -> None:
        """Bring some lanes here, together, to be read: until they are stepped they need no other copy."""
        if self._here or set(lanes) <= self._fetched[1].keys():
            return
        self.settle()
        rows, done, size = self._tensors.beside(len(lanes)), 0, _TOGETHER
        while done < len(lanes):
            some = lanes[done : done + size]
            try:
                self._tensors.move(some, rows, range(done, done + len(some)))
            except torch.OutOfMemoryError:  # they may be fetched because memory has run out
                if size == 1:
                    raise
                size //= 2
            else:
                done += len(some)
        self._fetched = rows, {lane: row for row, lane in enumerate(lanes)}

    def to_read(self, lane: int) -> tuple[Rows, int]:
        """Where to read a lane: rows, and its number there."""
        if self._here:
            return self._tensors, lane
        self.fetch([lane])
        rows, places = self._fetched
        assert rows is not None
        return rows, places[lane]
