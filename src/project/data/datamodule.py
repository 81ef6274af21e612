"""Data in memory as a Trainer takes it: the loaders of its parts."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from omegaconf import DictConfig

from caviar import UsageError, instantiate
from project.data.base import InMemoryData, Part, Parts
from project.data.batches import Batches, epoch_order


def make_data(config: DictConfig) -> Any:
    """The data of a run's config as a Trainer takes it, read; a `LightningDataModule` as it is.

    Raises:
        UsageError: it cannot be read.
    """
    data = instantiate(config.data, seed=config.seed)
    module = DataModule(data) if isinstance(data, InMemoryData) else data
    module.setup()
    return module


class DataModule(LightningDataModule):
    """Makes batches of data that is in memory, on the device that trains.

    Args:
        data: what they are made of.
    """

    def __init__(self, data: InMemoryData) -> None:
        super().__init__()
        self.data = data

    @property
    def parts(self) -> Parts:
        """The data itself; see `InMemoryData.parts`."""
        return self.data.parts

    @property
    def num_features(self) -> int:
        return self.data.num_features

    @property
    def num_classes(self) -> int:
        return self.data.num_classes

    def class_weights(self, asked: Any) -> list[float] | None:
        return self.data.class_weights(asked)

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
