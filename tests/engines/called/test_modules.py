"""Modules as people write them: on a lane among strangers they come to what a Trainer alone comes to."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from torchmetrics import MeanMetric, MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy

from tests.engines.called.compare import Tensors, same_on_a_lane


def vectors(features: int = 6, classes: int = 3) -> Tensors:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(60, features, generator=draw)
    y = torch.randint(0, classes, (60,), generator=draw)
    return Tensors(TensorDataset(x[:44], y[:44]), TensorDataset(x[44:], y[44:]))


class Plain(LightningModule):
    def __init__(self, lr: float = 0.01, alpha: float = 0.1, dropout: float = 0.0):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, 3)
        )
        self.alpha = alpha

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.net(x), y) + self.alpha * self.net[0].weight.abs().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val/loss", F.cross_entropy(self.net(x), y))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


def test_a_module_whose_numbers_differ_between_lanes(tmp_path: Path) -> None:
    same_on_a_lane(
        Plain, vectors, tmp_path, lambda n: {"module__lr": 0.003 * n + 0.001, "module__alpha": n / 9}
    )
