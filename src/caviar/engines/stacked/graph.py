"""Steps of lanes on a GPU as a CUDA graph: the host launches one thing a step, where it launched a hundred.

A step reads its batch, its rates and its random numbers from buffers that stay where they are, at a place
that is counted on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Self

import torch
from torch import Tensor

from caviar.engines.stacked.backend import ByTorch, Steps, drawn_ahead
from caviar.engines.stacked.recording import recorded
from caviar.engines.stacked.tensors import LaneTensors


class ByGraph(ByTorch):
    """Steps all lanes as `ByTorch` does, to the same numbers; a last batch that is not full is launched."""

    rehearsed = 32
    recorded = True

    def __init__(self, tensors: LaneTensors) -> None:
        super().__init__(tensors)
        self._buffers: _Buffers | None = None
        self._replays: dict[Hashable, Callable[[], None]] = {}

    @classmethod
    def over(cls, tensors: LaneTensors) -> Self | str:
        """One for these lanes, or why there is none."""
        if tensors.device != "cuda":
            return f"it is on {tensors.device}, and CUDA's graphs are for a GPU"
        return cls(tensors)

    def steps(self, steps: Steps) -> None:
        """Replay them one after the other."""
        size, losses = self._tensors.course.batch_size, steps.losses
        full = steps.order.shape[1] // size
        self._gradients.zero_()
        for number, (bits, count) in enumerate(drawn_ahead(self._tensors, steps)):
            buffers = self._buffers = self._buffers or _Buffers(self._tensors, steps, bits)
            if number == 0:
                buffers.fill(steps, full, size)
            buffers.take(bits)
            whole = min(count, full - buffers.done)
            if whole > 0:
                replay = self._replay(buffers)
                for _ in range(whole):
                    replay()
            buffers.done += whole
            if whole < count:
                own = {name: drawn[whole, :, : steps.order.shape[1] - full * size]
                       for name, drawn in bits.items()}  # fmt: skip
                losses += self._step(steps.order[:, full * size :], steps.columns[full], own)
        assert self._buffers is not None
        losses += self._buffers.losses

    def _replay(self, buffers: _Buffers) -> Callable[[], None]:
        """What does a step; recorded anew where lanes come to smooth or weigh, which is another loss."""
        smoothing, weights = self._tensors.loss_settings
        key = smoothing is None, weights is None
        if key not in self._replays:
            changed = [*self._tensors.changing, buffers.losses, buffers.place]
            self._replays[key], _ = recorded(lambda: self._from(buffers), changed)
        return self._replays[key]

    def _from(self, buffers: _Buffers) -> None:
        """The step at the place that the buffers are at: all that it reads and writes stays where it is."""
        rows, column, bits = buffers.at_place()
        buffers.losses += self._step(rows, column, bits)
        buffers.place += 1


class _Buffers:
    """What a recorded step reads, and where it adds its losses.

    Attributes:
        place: ``(2,)`` on the device: which step of the epoch it is, and which of those drawn for.
        losses: ``(lanes,)``, summed over the epoch.
        done: steps of the epoch so far.
    """

    def __init__(self, tensors: LaneTensors, steps: Steps, bits: dict[str, Tensor]) -> None:
        course, device = tensors.course, tensors.device
        full = max(1, course.samples // course.batch_size)
        self._order = torch.zeros(  # of whole batches
            tensors.lanes, full, course.batch_size, dtype=torch.int64, device=device
        )
        self._columns = torch.zeros(
            course.steps, *steps.columns.shape[1:], dtype=course.dtype, device=device
        )
        self._bits = {name: torch.zeros_like(drawn) for name, drawn in bits.items()}
        self.place = torch.zeros(2, dtype=torch.int64, device=device)
        self.losses = torch.zeros_like(steps.losses)
        self.done = 0

    def fill(self, steps: Steps, full: int, size: int) -> None:
        """Take an epoch's order and rates in."""
        self.done = 0
        self._order[:, :full] = steps.order[:, : full * size].unflatten(1, (full, size))
        self._columns[: len(steps.columns)] = steps.columns
        self.place.zero_()
        self.losses.zero_()

    def take(self, bits: dict[str, Tensor]) -> None:
        """Take random numbers in, of some steps."""
        for name, drawn in bits.items():
            self._bits[name][: len(drawn)] = drawn
        self.place[1:].zero_()

    def at_place(self) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Rows, columns and random numbers of the step that it is at."""
        step, drawn = self.place[:1], self.place[1:]
        bits = {name: own.index_select(0, drawn)[0] for name, own in self._bits.items()}
        rows = self._order.index_select(1, step)[:, 0]
        return rows, self._columns.index_select(0, step)[0], bits
