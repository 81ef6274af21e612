"""Points around a centre, and two networks: one makes such points, one tells them from the real ones."""

from collections.abc import Callable

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.utils.data import DataLoader


class Cloud(LightningDataModule):
    """Points ``(samples, 2)``."""

    def __init__(self, samples: int = 256, centre: float = 2.0) -> None:
        super().__init__()
        self.samples, self.centre = samples, centre

    def setup(self, stage: str | None = None) -> None:
        made = torch.Generator().manual_seed(0)
        self.points = self.centre + 0.5 * torch.randn(self.samples, 2, generator=made)

    def loader(self, start: float, end: float, shuffle: bool = False) -> DataLoader:
        part = self.points[int(start * self.samples) : int(end * self.samples)]
        return DataLoader(part, 32, shuffle=shuffle)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader:
        return self.loader(0.0, 0.7, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.loader(0.7, 0.85)

    def test_dataloader(self) -> DataLoader:
        return self.loader(0.85, 1.0)

    predict_dataloader = test_dataloader


class GAN(LightningModule):
    """Trains both by turns, each by an optimizer of its own (arXiv:1406.2661)."""

    def __init__(
        self, width: int, noise: int, optimizer: Callable[..., torch.optim.Optimizer]
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.noise, self.optimizer = noise, optimizer
        self.maker = nn.Sequential(nn.Linear(noise, width), nn.ReLU(), nn.Linear(width, 2))
        self.critic = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))

    def made(self, count: int) -> Tensor:
        return self.maker(torch.randn(count, self.noise, device=self.device))

    def told(self, points: Tensor, real: float) -> Tensor:
        logits = self.critic(points)
        return cross_entropy(logits, torch.full_like(logits, real))

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        of_maker, of_critic = self.optimizers()  # type: ignore[misc]
        for optimizer, loss in (
            (of_critic, lambda: self.told(batch, 1) + self.told(self.made(len(batch)).detach(), 0)),
            (of_maker, lambda: self.told(self.made(len(batch)), 1)),
        ):
            optimizer.zero_grad()
            self.manual_backward(loss())
            optimizer.step()

    def distance(self, points: Tensor) -> Tensor:
        made = self.made(256)
        return (made.mean(0) - points.mean(0)).norm() + (made.std(0) - points.std(0)).norm()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/distance", self.distance(batch))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("test/distance", self.distance(batch))

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.made(len(batch))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer(net.parameters()) for net in (self.maker, self.critic)]
