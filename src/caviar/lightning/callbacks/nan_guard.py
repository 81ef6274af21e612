"""Ends a training whose loss is no number any more."""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


def loss_of(outputs: Any) -> float | None:
    """The loss that a training step returned; None where it gave none, as manual optimization may."""
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return None if loss is None else float(loss)


class NanGuard(Callback):
    """Raises FloatingPointError when a loss is NaN or infinite.

    A NaN loss makes every weight, and so every later loss, NaN: looking once in a while is enough,
    and a GPU need not be waited for at every step. What is logged under a name that ends in ``loss`` is
    looked at after each epoch too.

    Args:
        every_steps: training steps between two looks at the loss.
    """

    def __init__(self, every_steps: int = 50) -> None:
        self.every_steps = every_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at a step's loss."""
        if trainer.global_step % self.every_steps == 0:
            loss = loss_of(outputs)
            if loss is not None:
                _require_finite("train/loss", loss, trainer, trainer.current_epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the means that a validation logged."""
        _look_at_means(trainer, trainer.current_epoch)

    # An epoch without a validation has its mean only after the callbacks' own end of it.
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the last epoch's means."""
        _look_at_means(trainer, trainer.current_epoch - 1)

    on_train_end = on_train_epoch_start


def _look_at_means(trainer: Trainer, epoch: int) -> None:
    for name, loss in trainer.callback_metrics.items():
        if name.endswith("loss"):
            _require_finite(name, float(loss), trainer, epoch)


def _require_finite(name: str, loss: float, trainer: Trainer, epoch: int) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{name} is {loss} at epoch {epoch}, step {trainer.global_step}: "
            "a lower optimizer.lr or trainer.gradient_clip_val=1 may help"
        )
