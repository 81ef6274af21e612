"""What the shipped LightningModules share: a network, an optimizer, a schedule, metrics and a mean loss."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from omegaconf import DictConfig
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from caviar import UsageError, instantiate, usage_error
from caviar.base.objectives import first
from caviar.lightning.making import plain
from caviar.lightning.optimizers import make_optimizer
from caviar.lightning.schedulers import Length, Schedule

Batch = tuple[Tensor, Tensor]


class Supervised(LightningModule):
    """Trains a network on pairs of features and targets; a subclass says what the loss is.

    All arguments are plain containers, as read from a config. A subclass saves its own in every checkpoint,
    so ``load_from_checkpoint(path, weights_only=True)`` needs nothing else.

    Args:
        network: ``_target_`` and arguments of the network, its sizes included.
        scheduler: ``_target_`` and arguments of a `caviar.lightning.schedulers.Schedule`; None: constant.
        metrics: name -> ``_target_`` and arguments of a torchmetrics metric.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        scheduler: Mapping[str, Any] | None,
        metrics: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        self.network = instantiate(network, _only_=torch.nn.Module)
        self.schedule: Schedule = (
            instantiate(scheduler, _only_=Schedule) if scheduler else Schedule()
        )
        self.metrics = MetricCollection(instantiate(metrics or {}, _only_=Metric, _convert_="all"))
        self._train_loss = Mean()
        self._eval_loss = Mean()

    @classmethod
    def made(cls, config: DictConfig, data: Any, outputs: int, **loss: Any) -> Any:
        """The module that a run's config describes, with this loss.

        A network's ``in_features`` and ``num_classes`` are the features of ``data`` and ``outputs``.

        Raises:
            UsageError: the network cannot be trained on the batches that ``data`` make.
        """
        kind: Any = cls
        network = {k: v for k, v in plain(config.model).items() if k != "loss"}
        module = kind(
            network={**network, "in_features": data.num_features, "num_classes": outputs},
            optimizer=plain(config.optimizer),
            scheduler=plain(config.get("scheduler")),
            metrics=plain(config.get("metrics")),
            **loss,
            metric=first(config.metric),
            direction=first(config.direction),
        )
        if hasattr(data, "check_batches"):
            limit = config.trainer.get("limit_train_batches")
            data.check_batches(lambda: deepcopy(module.network), limit)
        return module

    @abstractmethod
    def loss_per_sample(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample, shape ``(batch,)``. That of a batch is its plain mean."""

    @abstractmethod
    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        """Hand a batch of the network's outputs to the metrics."""

    def forward(self, x: Tensor) -> Tensor:
        """What the network gives."""
        return self.network(x)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, a scalar."""
        x, targets = batch
        loss = self.loss_per_sample(self(x), targets).mean()
        # Summed on the device and logged once an epoch: `self.log` at every step costs more time
        # than the step of a small network, and `.item()` would wait for the device.
        self._train_loss.add(loss.detach(), 1)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a batch into the mean loss and the metrics."""
        x, targets = batch
        outputs = self(x)
        self._eval_loss.add(self.loss_per_sample(outputs, targets).sum(), len(x))
        self.update_metrics(outputs, targets)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def on_train_epoch_end(self) -> None:
        # Where validation has run, the training loss is in its row already.
        if self._train_loss.count:
            self.log("train/loss", self._train_loss.take(), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """The optimizer and the schedule that the config names."""
        hparams = self.hparams
        optimizer = make_optimizer(self, hparams["optimizer"])
        schedulers = self.schedule.attach(
            optimizer, self._length(), hparams["metric"], hparams["direction"]
        )
        return [optimizer], schedulers

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # In the middle of an epoch: the part of its mean that is known.
        if self._train_loss.count:
            checkpoint["train_loss"] = [self._train_loss.total, self._train_loss.count]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._train_loss.total, self._train_loss.count = checkpoint.get("train_loss", (0.0, 0))

    def _log_evaluation(self, part: str) -> None:
        values = {f"{part}/loss": self._eval_loss.take()}
        for name, value in self.metrics.compute().items():
            if value.numel() != 1:
                why = f"gives {value.numel()} values, not one"
                target = self.hparams["metrics"][name]["_target_"]
                raise usage_error(f"metrics.{name}", target, why)
            values[f"{part}/{name}"] = value
        self.metrics.reset()
        if self._train_loss.count and part == "val":
            self.log("train/loss", self._train_loss.take(), sync_dist=True)
        self.log_dict(values, sync_dist=True)

    def _length(self) -> Length:
        self.trainer.fit_loop.setup_data()  # where only steps are given, nobody has counted yet
        steps = self.trainer.estimated_stepping_batches
        batches = self.trainer.num_training_batches
        return Length(steps, math.ceil(batches / self.trainer.accumulate_grad_batches))


def finite(predictions: Tensor, problem: str) -> np.ndarray:
    """Predictions, a row each, as an array.

    Raises:
        UsageError: ``problem``, where one is no number.
    """
    unknown = torch.nonzero(~predictions.isfinite())
    if len(unknown):
        raise UsageError(f"data: row {int(unknown[0, 0]) + 1}: {problem}")
    return predictions.numpy()


class Mean:
    """A running mean that stays on its device until it is taken."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.count = 0

    def add(self, total: Tensor, count: int) -> None:
        """Take in the sum of ``count`` numbers."""
        self.total = self.total + total
        self.count += count

    def take(self) -> Tensor:
        """The mean so far (NaN of nothing); it starts afresh after."""
        mean = torch.as_tensor(self.total) / self.count if self.count else torch.tensor(math.nan)
        self.total, self.count = 0.0, 0
        return mean
