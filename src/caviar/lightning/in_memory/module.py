"""Data in memory as a Trainer takes it: the loaders of its parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import nn

from caviar.base.errors import UsageError
from caviar.lightning.batches import Batches, epoch_order
from caviar.lightning.in_memory.data import InMemoryData, Part, Parts
from caviar.tables.preprocessing import Described, Preprocessing


class DataModule(Described, LightningDataModule):
    """Makes batches of data that is in memory, on the device that trains."""

    def __init__(self, data: InMemoryData) -> None:
        super().__init__()
        self.data = data

    @property
    def parts(self) -> Parts:
        """The data itself; see `InMemoryData.parts`."""
        return self.data.parts

    @property
    def num_features(self) -> int:
        """Numbers a sample."""
        return self.data.num_features

    def class_weights(self, asked: Any) -> list[float] | None:
        """See `InMemoryData.class_weights`."""
        return self.data.class_weights(asked)

    @property
    def preprocessing(self) -> Preprocessing:
        """What stands between the table and the network."""
        return self.data.parts.preprocessing

    def files(self) -> dict[str, str]:
        """What goes into the run folder beside the rest, name -> text."""
        return self.preprocessing.files()

    def changed_since(self, folder: Path) -> bool:
        """Whether the run in ``folder`` was trained on other rows, or on these prepared otherwise."""
        return not Preprocessing.read(folder).same_as(self.preprocessing)

    def check_batches(self, network: Callable[[], nn.Module], limit: float | None) -> None:
        """See `InMemoryData.check_batches`."""
        self.data.check_batches(network, limit)

    def setup(self, stage: str | None = None) -> None:
        _ = self.data.parts

    def train_dataloader(self) -> Batches:
        data = self.data
        x, y = self._on_device(data.parts.train)
        return Batches(
            x,
            y,
            data.batch_size,
            order=lambda: epoch_order(len(x), data.seed, self._epoch()),
            drop_last=data.drop_last,
            share=(self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1),
        )

    # Every process evaluates the whole part: metrics are then exact, without padding or gathering.
    def val_dataloader(self) -> Batches:
        return Batches(*self._on_device(self.data.parts.val), self.data.eval_batch_size)

    def test_dataloader(self) -> Batches:
        if not len(self.data.parts.test[0]):
            raise UsageError("data.test_fraction=0: there is no test part to evaluate")
        return Batches(*self._on_device(self.data.parts.test), self.data.eval_batch_size)

    def transfer_batch_to_device(self, batch: Part, device: Any, dataloader_idx: int) -> Part:
        return batch  # it is there already

    def _on_device(self, part: Part) -> Part:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return part[0].to(device), part[1].to(device)

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else 0
