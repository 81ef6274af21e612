"""Random numbers that hang on seed, epoch and step, so that a resumed training draws the same ones."""

import random
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.base.private_loops import data_fetcher
from caviar.engines.dropout import Place, begin, end
from caviar.lightning.seeding import derived, seed_torch


class EpochSeed(Callback):
    """Seeds torch, numpy and random from (seed, epoch) before each epoch.

    What an augmentation, the shuffling of a DataLoader or `torch.nn.Dropout` draws hangs on nothing else
    then; the masks of `caviar.Dropout` hang on (seed, epoch, step), as on a lane.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._place = Place(seed)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place.process = trainer.global_rank
        begin(pl_module, self._place)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._place.at(trainer.current_epoch, batch_idx)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        end(pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        end(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seed = derived(self.seed, trainer.current_epoch, 1)
        seed_torch(seed)
        np.random.seed(seed)
        random.seed(seed)
        loop = trainer.fit_loop
        if trainer.current_epoch == 0 or loop.is_resuming or loop.epoch_loop.restarting:
            # The iterator that Lightning has made already drew its seeds before these were set.
            iter(data_fetcher(trainer.fit_loop))
