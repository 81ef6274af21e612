"""Points on a curve in eight dimensions, and a module that describes each by two numbers."""

from collections.abc import Callable

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Curve(LightningDataModule):
    """Points, shape ``(samples, 8)``; there is nothing else to learn from."""

    def __init__(self, samples: int = 256, batch_size: int = 32) -> None:
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(0)
        along = 2 * torch.rand(self.hparams["samples"], 1, generator=made) - 1
        self.points = torch.cat([along**n for n in range(1, 9)], dim=1)

    def loader(self, start: float, end: float, shuffle: bool = False) -> DataLoader:
        part = self.points[int(start * len(self.points)) : int(end * len(self.points))]
        return DataLoader(part, self.hparams["batch_size"], shuffle=shuffle)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader:
        return self.loader(0.0, 0.7, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.loader(0.7, 0.85)

    def test_dataloader(self) -> DataLoader:
        return self.loader(0.85, 1.0)

    predict_dataloader = test_dataloader


class Autoencoder(LightningModule):
    """Encoder, decoder, and the squared error of what comes back."""

    def __init__(
        self, width: int, code: int, optimizer: Callable[..., torch.optim.Optimizer]
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, code))
        self.decoder = nn.Sequential(nn.Linear(code, width), nn.Tanh(), nn.Linear(width, 8))

    def error(self, points: Tensor) -> Tensor:
        return nn.functional.mse_loss(self.decoder(self.encoder(points)), points)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.error(batch)
        self.log("train/error", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/error", self.error(batch))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("test/error", self.error(batch))

    def predict_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        return {"code": self.encoder(batch)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.hparams["optimizer"](self.parameters())
