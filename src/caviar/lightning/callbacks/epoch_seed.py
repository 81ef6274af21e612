"""Random numbers that begin anew every epoch, so that a resumed training draws the same ones."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from project.seeding import derived


class EpochSeed(Callback):
    """Seeds torch from (seed, epoch) before each epoch: what dropout draws hangs on nothing else.

    Args:
        seed: the training seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(derived(self.seed, trainer.current_epoch, 1))
