"""Data and modules as people write them, none of them with lanes in mind."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset
from torchmetrics import MeanMetric, MeanSquaredError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from tests.engines.called.compare import Tensors


def parts(x: Tensor, y: Tensor) -> Tensors:
    return Tensors(TensorDataset(x[:44], y[:44]), TensorDataset(x[44:], y[44:]))


def vectors(features: int = 6) -> Tensors:
    draw = torch.Generator().manual_seed(1)
    return parts(
        torch.randn(60, features, generator=draw), torch.randint(0, 3, (60,), generator=draw)
    )


def pictures() -> Tensors:
    draw = torch.Generator().manual_seed(2)
    return parts(
        torch.randn(60, 1, 8, 8, generator=draw), torch.randint(0, 3, (60,), generator=draw)
    )


def sentences() -> Tensors:
    """Words from 1 on; 0 fills what is shorter than 7."""
    draw = torch.Generator().manual_seed(3)
    words = torch.randint(1, 20, (60, 7), generator=draw)
    lengths = torch.randint(2, 8, (60, 1), generator=draw)
    return parts(words * (torch.arange(7) < lengths), torch.randint(0, 3, (60,), generator=draw))


def targets() -> Tensors:
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(60, 6, generator=draw)
    return parts(x, x[:, :2].sum(1) + 0.3 * torch.randn(60, generator=draw))


def labels() -> Tensors:
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(60, 6, generator=draw)
    return parts(x, (torch.rand(60, 4, generator=draw) < 0.3).float())


class Base(LightningModule):
    """What most of them share: a network, Adam, the loss logged."""

    def __init__(self, lr: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return functional.cross_entropy(self.net(x), y)  # type: ignore[operator]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Plain(Base):
    def __init__(self, lr: float = 0.01, alpha: float = 0.1, smoothing: float = 0.0):
        super().__init__(lr)
        self.net = nn.Sequential(
            nn.Linear(6, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)
        )
        self.alpha, self.smoothing = alpha, smoothing

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = functional.cross_entropy(self.net(x), y, label_smoothing=self.smoothing)
        loss = loss + self.alpha * next(self.net.parameters()).abs().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss


class Optimized(Plain):
    """By an optimizer whose rate, and momentum where it has some, rise and fall."""

    def __init__(self, lr: float = 0.01, kind: str = "NAdam"):
        super().__init__(lr)
        self.kind = kind

    def configure_optimizers(self) -> Any:
        optimizer = getattr(torch.optim, self.kind)(self.parameters(), self.lr, weight_decay=0.1)
        steps = int(self.trainer.estimated_stepping_batches)
        cycles = "betas" in optimizer.defaults
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.lr, total_steps=steps, cycle_momentum=cycles
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Pictures(Base):
    """A convolution with batch norm; ``augment`` flips every other picture, in the step."""

    def __init__(self, lr: float = 0.01, augment: bool = True):
        super().__init__(lr)
        self.augment = augment
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 3),
        )  # fmt: skip

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        if self.augment:
            every_other = (torch.arange(len(x)) % 2 == 0)[:, None, None, None]
            x = torch.where(every_other, x.flip(-1), x)
        loss = functional.cross_entropy(self.net(x), y)
        self.log("train/loss", loss)
        return loss


class Transformer(Base):
    def __init__(self, lr: float = 0.003, width: int = 8, heads: int = 2):
        super().__init__(lr)
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(torch.randn(8, width) * 0.02)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.head, self.heads = nn.Linear(width, 3), heads

    def net(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1)) + self.place
        batch, length, width = x.shape
        parts = self.qkv(self.norms[0](x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(attended.reshape(batch, length, width))
        return self.head((x + self.mlp(self.norms[1](x))).mean(1))


class Words(Base):
    """The mean of the words that are there, by a mask."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.words = nn.Embedding(20, 8, padding_idx=0)
        self.head = nn.Sequential(nn.Linear(8, 12), nn.LayerNorm(12), nn.GELU(), nn.Linear(12, 3))

    def net(self, words: Tensor) -> Tensor:
        there = (words != 0).unsqueeze(-1)
        return self.head((self.words(words) * there).sum(1) / there.sum(1))


class Huber(Base):
    def __init__(self, lr: float = 0.01, delta: float = 1.0):
        super().__init__(lr)
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
        self.criterion = nn.HuberLoss(delta=delta)
        self.error = MeanSquaredError()

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return self.criterion(self.net(x).squeeze(1), y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        x, y = batch
        self.error(self.net(x).squeeze(1), y)
        self.log("val/mse", self.error)


class MultiLabel(Base):
    def __init__(self, lr: float = 0.01, rare: float = 3.0):
        super().__init__(lr)
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
        self.criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((4,), rare))

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return self.criterion(self.net(x), y)


class Autoencoder(Base):
    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.encoder, self.decoder = nn.Linear(6, 3), nn.Linear(3, 6)

    def loss(self, batch: Any) -> Tensor:
        return functional.mse_loss(self.decoder(torch.relu(self.encoder(batch[0]))), batch[0])


class VAE(Base):
    """Draws inside the step."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def loss(self, batch: Any) -> Tensor:
        mean, log_var = self.encoder(batch[0]).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        divergence = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
        return functional.mse_loss(self.decoder(code), batch[0]) + 0.01 * divergence


class NoisyLabels(Plain):
    """A share of the labels is drawn anew, in each step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        drawn = torch.randint_like(y, 3)
        y = torch.where(torch.rand(len(y)) < 0.2, drawn, y)
        return super().training_step((x, y), batch_idx)


class Measured(Plain):
    """torchmetrics in the steps, one by one and as a collection, logged by step and by epoch."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.train_acc = MulticlassAccuracy(3, validate_args=False)
        self.mean_loss = MeanMetric()
        self.scores = MetricCollection(
            {"acc": MulticlassAccuracy(3), "f1": MulticlassF1Score(3)}, prefix="val/"
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        logits = self.net(x)
        loss = functional.cross_entropy(logits, y)
        self.train_acc(logits.argmax(1), y)
        self.mean_loss(loss)
        self.log("train/acc", self.train_acc, on_step=True, on_epoch=True)
        self.log("train/mean", self.mean_loss, on_step=False, on_epoch=True)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("train/most", loss, on_step=False, on_epoch=True, reduce_fx="max")
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = self.net(x)
        self.scores.update(logits.softmax(1), y)
        self.log_dict({"val/loss": functional.cross_entropy(logits, y), "val/size": float(len(x))})

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.scores.compute())
        self.scores.reset()


class Outputs(Plain):
    """Keeps what steps gave in a list, as it was done before torchmetrics."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.outputs: list[Tensor] = []
        self.seen = 0

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.outputs.append(self.loss(batch))
        self.seen += len(batch[0])

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", torch.stack(self.outputs).mean())
        self.log("val/seen", float(self.seen))
        self.outputs.clear()


class Frozen(Base):
    """A backbone that does not train, and groups of parameters with rates of their own."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.backbone = nn.Linear(6, 8).requires_grad_(False)
        self.head, self.scale = nn.Linear(8, 3), nn.Parameter(torch.ones(8))

    def net(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.backbone(x)) * self.scale)

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": self.head.parameters(), "weight_decay": 0.01},
            {"params": [self.scale], "lr": 10 * self.lr},
        ]
        return torch.optim.AdamW(groups, lr=self.lr, weight_decay=0.0)


class Tied(Base):
    def __init__(self, lr: float = 0.05):
        super().__init__(lr)
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(4, 6)
        self.again = nn.Linear(6, 4)
        self.again.weight = self.encoder.weight

    def loss(self, batch: Any) -> Tensor:
        code = self.encoder(batch[0])
        return functional.mse_loss(
            self.decoder(code) + functional.linear(self.again(batch[0]), self.decoder.weight),
            batch[0],
        )

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, nesterov=True)


class OwnSchedule(Plain):
    """Steps its schedules by itself; one by step, one by a metric."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.RMSprop(self.parameters(), lr=self.lr)
        return [optimizer], [
            {
                "scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97),
                "interval": "step",
            },
            {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(
                    optimizer, patience=0, factor=0.3
                ),
                "monitor": "val/loss",
            },
        ]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric + 1e-3 * self.current_epoch)


class Decides(Plain):
    """Takes numbers as they are: a momentum of batch norm, a count of heads, an epoch to warm up to."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.1, heads: int = 2, warm: int = 1):
        super().__init__(lr)
        self.norm: Any = self.net[1]
        self.norm.momentum = momentum
        self.heads, self.warm = heads, warm
        self.history: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        logits = self.net(x.view(len(x), self.heads, -1).flip(1).flatten(1))
        loss = functional.cross_entropy(logits, y)
        if self.current_epoch < self.warm:
            loss = loss * 0.5
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.history.append(float(self.current_epoch))
        self.log("train/epochs", float(len(self.history)))
