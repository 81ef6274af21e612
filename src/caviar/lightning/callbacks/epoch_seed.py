"""Random numbers that begin anew every epoch, so that a resumed training draws the same ones."""

import random

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.base.private import begin_batches_anew
from caviar.lightning.seeding import derived


class EpochSeed(Callback):
    """Seeds torch, numpy and random from (seed, epoch) before each epoch.

    What dropout, an augmentation or the shuffling of a DataLoader draws hangs on nothing else then.

    Args:
        seed: the training seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seed = derived(self.seed, trainer.current_epoch, 1)
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        loop = trainer.fit_loop
        if trainer.current_epoch == 0 or loop.is_resuming or loop.epoch_loop.restarting:
            # The iterator that Lightning has made already drew its seeds before these were set.
            begin_batches_anew(trainer)
