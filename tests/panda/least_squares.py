"""A training whose course is known: gradient descent on a square, a step an epoch.

Its loss shrinks by ``(1 - lr)²`` a step: it is best at lr 1, stands still at 2, and diverges above.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from caviar.panda.callback import Panda


class LeastSquares(LightningModule):
    """Two weights, whose target is 1."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Linear(2, 1, bias=False)
        self.losses: list[float] = []

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        loss = ((self.net(batch[0]) - 1) ** 2).mean() / 2
        self.losses.append(float(loss.detach()))
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def descend(
    folder: Path, lr: float, epochs: int, *callbacks: Callback, **options: Any
) -> tuple[LeastSquares, Panda]:
    """Train and watch it; ``options`` are the callback's."""
    torch.manual_seed(0)
    x = torch.eye(2) * 2**0.5  # the loss has a curvature of 1 in every direction
    panda = Panda(str(folder), **{"share": 1.0, "look_every": 0.0, **options})
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[panda, *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = LeastSquares(lr)
    trainer.fit(module, DataLoader(TensorDataset(x), 2))
    return module, panda
