"""A module that has a surprise in it, and callbacks that have one."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from project.classifier import Classifier


class Boom(Classifier):
    """The shipped one, that fails by itself, or does what lanes cannot, in its second epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        if self.label_smoothing == 0.3 and self.current_epoch == 1:
            raise ValueError("boom")
        if self.label_smoothing == 0.4 and self.current_epoch == 1:
            loss = loss + 0.0 * loss.item()
        return loss


class EndsAt(Callback):
    """Ends a training after an epoch; in the third, by an error."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 3:
            raise ValueError("the third")
        trainer.should_stop = trainer.current_epoch == self.epoch


class Batches(Callback):
    """Has a hook that is called after each step."""

    def on_train_batch_end(self, *_: Any) -> None:
        pass
