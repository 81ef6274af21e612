"""Pictures of bars, and a convolution that says which way each lies."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

Batch = list[Tensor]


class Bars(LightningDataModule):
    """Pictures ``(samples, 1, size, size)`` of a bar in noise, and whether it stands (1) or lies (0)."""

    def __init__(self, samples: int = 240, size: int = 8, noise: float = 0.5) -> None:
        super().__init__()
        self.samples, self.size, self.noise = samples, size, noise

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(0)
        stands = torch.randint(2, (self.samples,), generator=made)
        where = torch.randint(self.size, (self.samples,), generator=made)
        pictures = self.noise * torch.randn(self.samples, 1, self.size, self.size, generator=made)
        for picture, on_end, at in zip(pictures, stands, where, strict=True):
            bar = picture[0, :, at] if on_end else picture[0, at]
            bar += 1
        parts = [0.7, 0.15, 0.15]
        whole = TensorDataset(pictures, stands)
        self.train, self.val, self.test = random_split(whole, parts, made)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, 32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 32)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 32)


class Convolution(LightningModule):
    """Two convolutions with batch norm, the mean over the picture, and a linear layer."""

    def __init__(self, channels: int = 8, lr: float = 0.01) -> None:
        super().__init__()
        self.lr = lr
        layers: list[nn.Module] = []
        for inputs in (1, channels):
            layers += [nn.Conv2d(inputs, channels, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.net(pictures))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        pictures = batch[0] + 0.1 * torch.randn_like(batch[0])
        return nn.functional.cross_entropy(self(pictures), batch[1])

    def judge(self, batch: Batch, part: str) -> None:
        logits = self(batch[0])
        right = (logits.argmax(-1) == batch[1]).float().mean()
        loss = nn.functional.cross_entropy(logits, batch[1])
        self.log_dict({f"{part}/loss": loss, f"{part}/acc": right})

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.judge(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.judge(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), self.lr)
