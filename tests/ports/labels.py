"""Songs, each with none, one or several of three labels, and a module that gives them."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MultilabelF1Score

LABELS = 3
Batch = list[Tensor]


class Songs(LightningDataModule):
    """Six numbers of each song, and a 0 or 1 for each label; the last one is rare."""

    def __init__(self, samples: int = 300) -> None:
        super().__init__()
        self.samples = samples

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(0)
        songs = torch.randn(self.samples, 6, generator=made)
        labels = songs[:, :LABELS] + songs[:, LABELS:] > torch.tensor([0.0, 0.0, 1.5])
        parts = [0.7, 0.15, 0.15]
        whole = TensorDataset(songs, labels.float())
        self.train, self.val, self.test = random_split(whole, parts, made)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, 32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 32)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 32)


class Labels(LightningModule):
    """A hidden layer, and a logit for each label; a rare label that is missed costs more."""

    def __init__(self, width: int = 16, pos_weight: float = 2.0, lr: float = 0.01) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, LABELS))
        self.loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 1.0, pos_weight]))
        self.f1 = MultilabelF1Score(LABELS)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.f1(self.net(batch[0]), batch[1])
        self.log("val/f1", self.f1)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.f1(self.net(batch[0]), batch[1])
        self.log("test/f1", self.f1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)
