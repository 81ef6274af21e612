"""Modules and data as people write them, over scikit-learn's digits: what `lanes.py` trains."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Digits(LightningDataModule):
    """1,437 digits to train on and 360 to validate on, as ``kind`` has them: pictures, rows or tokens."""

    def __init__(self, kind: str = "pictures", number: bool = False) -> None:
        super().__init__()
        data: Any = load_digits()
        x = torch.tensor(data.data, dtype=torch.float32)
        shaped = {
            "pictures": (x / 16).view(-1, 1, 8, 8),
            "rows": (x / 16).view(-1, 8, 8),
            "vectors": x / 16,
            "tokens": x.long(),
        }[kind]
        y = torch.tensor(data.target)
        y = y.float() / 9 if number else y
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        self.parts = [TensorDataset(shaped[p], y[p]) for p in (order[:1437], order[1437:])]

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[0], 64, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[1], 512)


class Module(LightningModule):
    """Trains ``net`` by `loss`, and logs it."""

    net: nn.Module

    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        self.lr = lr

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return functional.cross_entropy(self.net(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Cnn(Module):
    """Two convolutions with batch norm, of ``width`` channels and twice as many."""

    def __init__(self, lr: float = 1e-3, width: int = 8) -> None:
        super().__init__(lr)
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * width, 10),
        )  # fmt: skip


class Words(Module):
    """An embedding of each pixel's grey, their mean, LayerNorm and an MLP."""

    def __init__(self, lr: float = 1e-3, width: int = 32) -> None:
        super().__init__(lr)
        self.table = nn.Embedding(17 * 64, width)
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        places = 17 * torch.arange(64)
        return functional.cross_entropy(self.net(self.table(x + places).mean(1)), y)


class Transformer(Module):
    """A transformer's block over the picture's rows, of width 32 with 4 heads."""

    def __init__(self, lr: float = 1e-3, width: int = 32, heads: int = 4) -> None:
        super().__init__(lr)
        self.read = nn.Linear(8, width)
        self.place = nn.Parameter(0.1 * torch.randn(8, width))
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.net = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.last = nn.Linear(width, 10)
        self.heads = heads

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        h = self.read(x) + self.place
        parts = self.queries(self.before(h)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(q, k, v)
        h = h + self.mixed(seen.transpose(1, 2).flatten(2))
        h = h + self.net(self.between(h))
        return functional.cross_entropy(self.last(h.mean(1)), y)


class Regression(Module):
    """An MLP that says a number, by Huber's loss."""

    def __init__(self, lr: float = 1e-3, delta: float = 0.5) -> None:
        super().__init__(lr)
        self.delta = delta
        self.net = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return functional.huber_loss(self.net(x).squeeze(1), y, delta=self.delta)


class OwnLoss(Module):
    """A small MLP with batch norm and dropout, by a focal loss."""

    def __init__(self, lr: float = 1e-3, gamma: float = 2.0) -> None:
        super().__init__(lr)
        self.gamma = gamma
        self.net = nn.Sequential(
            nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(32, 10),
        )  # fmt: skip

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        right = self.net(x).log_softmax(1).gather(1, y[:, None]).squeeze(1)
        return -((1 - right.exp()) ** self.gamma * right).mean()


class Norms(nn.Sequential):
    """A plain MLP with LayerNorm, for the project's own training."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__(
            nn.Linear(in_features, 64), nn.LayerNorm(64), nn.ReLU(),
            nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, num_classes),
        )  # fmt: skip
