"""Batches of tensors that are in memory: taken by index where they lie, not sample by sample."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from caviar.lightning.seeding import derived


class Batches:
    """Iterates over ``(x, y)`` in batches, on the device that they are on.

    Args:
        x: features, shape ``(samples, ...)``.
        y: targets, shape ``(samples,)`` or ``(samples, num_classes)``.
        batch_size: samples a batch; never more than there are.
        order: called at the start of an epoch, gives the sample numbers to go through; None: all,
            as they stand.
        drop_last: leave out a last batch that is not full.
        share: ``(rank, processes)``: the part of the order that this process takes.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        order: Callable[[], Tensor] | None = None,
        drop_last: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.x = x
        self.y = y
        self.order = order
        self.rank, self.processes = share
        self.samples = len(x) // self.processes
        self.batch_size = min(batch_size, self.samples)
        self.drop_last = drop_last

    def __len__(self) -> int:
        full, rest = divmod(self.samples, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order, size = None, self.batch_size
        if self.order is not None:
            order = self.order()[self.rank :: self.processes][: self.samples].to(self.x.device)
        for start in range(0, len(self) * size, size):
            rows = slice(start, start + size)
            index = rows if order is None else order[rows]
            yield self.x[index], self.y[index]


def epoch_order(samples: int, seed: int, epoch: int) -> Tensor:
    """The order of samples in an epoch, shape ``(samples,)``: the same for the same numbers."""
    return torch.randperm(samples, generator=torch.Generator().manual_seed(derived(seed, epoch)))
