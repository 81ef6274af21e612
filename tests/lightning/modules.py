"""Modules and data as a stranger writes them: nothing of caviar is in them."""

import os
import signal
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from project.classifier import Classifier


class Numbers(LightningDataModule):
    """A number to predict from four; its sizes are known after `setup`."""

    def __init__(self, samples: int = 64, batch_size: int = 16, workers: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.num_features: int | None = None

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(7)
        x = torch.randn(self.hparams["samples"], 4, generator=made)
        y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(len(x), generator=made)
        self.parts = TensorDataset(x, y).tensors
        self.num_features = x.shape[1]

    def _loader(self, rows: slice, shuffle: bool = False) -> DataLoader[Any]:
        x, y = self.parts
        workers = self.hparams["workers"] if shuffle else 0
        return DataLoader(
            TensorDataset(x[rows], y[rows]),
            self.hparams["batch_size"],
            shuffle=shuffle,
            num_workers=workers,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(slice(0, 48), shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(slice(48, 56))

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(slice(56, 64))

    predict_dataloader = test_dataloader


class SelfSplit(Numbers):
    """It takes the folds that it is given, and makes nothing of them."""

    def __init__(self, folds: int | None = None, fold: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)


class Net(nn.Module):
    """One hidden layer."""

    def __init__(self, inputs: int, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(-1)


class Mine(LightningModule):
    """As lightning-hydra-template has it: a network, and partials of an optimizer and a scheduler."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # objects and all
        self.net, self.scale = net, scale

    def _loss(self, batch: Any) -> Tensor:
        x, y = batch
        return self.scale * functional.mse_loss(self.net(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        self.log("fit_error", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("error", self._loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_error", self._loss(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.net(batch[0])

    def configure_optimizers(self) -> Any:
        optimizer = self.hparams["optimizer"](params=self.parameters())
        if self.hparams["scheduler"] is None:
            return optimizer
        return [optimizer], [self.hparams["scheduler"](optimizer=optimizer)]


class TwoPlayers(LightningModule):
    """Manual optimization of two optimizers; its step returns nothing."""

    def __init__(self, lr: float = 0.01, worth: float = 1.0) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.lr, self.worth = lr, worth
        self.a, self.b = nn.Linear(4, 1), nn.Linear(4, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        for optimizer, net in zip(self.optimizers(), (self.a, self.b), strict=True):  # type: ignore[arg-type]
            loss = self.worth * functional.mse_loss(net(x).squeeze(-1), y)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.log("loss", loss)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("error", functional.mse_loss((self.a(x) + self.b(x)).squeeze(-1) / 2, y))

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.Adam(self.a.parameters(), self.lr),
            torch.optim.SGD(self.b.parameters(), 0.1 * self.lr, momentum=0.5),
        ]


class Silent(Classifier):
    """The shipped task, but for its loss, which is always 0."""

    def loss_per_sample(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 0 * super().loss_per_sample(outputs, targets)


class Uneven(Mine):
    """Its second process fails, or is killed, as its second epoch begins."""

    def __init__(self, killed: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.killed = killed

    def on_train_epoch_start(self) -> None:
        if self.global_rank == 1 and self.current_epoch == 1:
            if self.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("only here")


class Forward(Mine):
    """What its ``forward`` gives hangs on its input's values, or on chance."""

    def __init__(self, noisy: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.noisy = noisy

    def forward(self, x: Tensor) -> Tensor:
        if self.noisy:
            return self.net(x) + torch.randn_like(x[:, 0])
        return self.net(x) if x.sum() > 0 else x
