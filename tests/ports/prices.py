"""Houses, and a module that says what each costs."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import MeanAbsoluteError

Batch = list[Tensor]


class Houses(LightningDataModule):
    """Four numbers of each house, and its price in thousands."""

    def __init__(self, samples: int = 300, noise: float = 10.0) -> None:
        super().__init__()
        self.samples, self.noise = samples, noise

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(0)
        houses = torch.randn(self.samples, 4, generator=made)
        price = 300 + 80 * houses[:, :1] - 40 * houses[:, 1:2] * houses[:, 2:3]
        price += self.noise * torch.randn(self.samples, 1, generator=made)
        parts = [0.7, 0.15, 0.15]
        whole = TensorDataset(houses, price)
        self.train, self.val, self.test = random_split(whole, parts, made)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, 32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 32)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 32)


class Prices(LightningModule):
    """Two layers and Huber's loss, in hundreds of thousands around the mean price."""

    def __init__(self, width: int = 32, delta: float = 1.0, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))
        self.loss = nn.HuberLoss(delta=delta)
        self.error = MeanAbsoluteError()

    def forward(self, houses: Tensor) -> Tensor:
        return 300 + 100 * self.net(houses)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(self(batch[0]) / 100, batch[1] / 100)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.error(self(batch[0]), batch[1])
        self.log("val/mae", self.error)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.error(self(batch[0]), batch[1])
        self.log("test/mae", self.error)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.hparams["lr"], momentum=0.9)
