"""Ends a training whose loss is no number any more."""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class NanGuard(Callback):
    """Raises FloatingPointError when a loss is NaN or infinite.

    A NaN loss makes every weight, and so every later loss, NaN: looking once in a while is enough,
    and a GPU need not be waited for at every step. The mean losses of each epoch are looked at too.

    Args:
        every_steps: training steps between two looks at the loss.
    """

    def __init__(self, every_steps: int = 50) -> None:
        self.every_steps = every_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_steps == 0:
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            _require_finite("train/loss", float(loss), trainer, trainer.current_epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _look_at_means(trainer, trainer.current_epoch)

    # An epoch without a validation has its mean only after the callbacks' own end of it.
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _look_at_means(trainer, trainer.current_epoch - 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _look_at_means(trainer, trainer.current_epoch - 1)


def _look_at_means(trainer: Trainer, epoch: int) -> None:
    for name in ("train/loss", "val/loss"):
        loss = trainer.callback_metrics.get(name, torch.zeros(()))
        _require_finite(name, float(loss), trainer, epoch)


def _require_finite(name: str, loss: float, trainer: Trainer, epoch: int) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{name} is {loss} at epoch {epoch}, step {trainer.global_step}: "
            "a lower optimizer.lr or trainer.gradient_clip_val=1 may help"
        )
