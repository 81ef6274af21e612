"""The LightningModule: a network with its loss, metrics, optimizer and schedule."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric, MetricCollection

from caviar import UsageError, instantiate, usage_error
from caviar.base.objectives import first
from caviar.lightning.making import plain
from caviar.lightning.optimizers import make_optimizer
from project.schedulers import Length, Schedule

Batch = tuple[Tensor, Tensor]


class Classifier(LightningModule):
    """Trains a network that gives logits.

    All arguments are plain containers, as read from a config, and are saved in every checkpoint, so
    ``Classifier.load_from_checkpoint(path, weights_only=True)`` needs nothing else.

    Args:
        network: ``_target_`` and arguments of the network, its sizes included. It maps
            ``(batch, ...)`` to logits of shape ``(batch, num_classes)``.
        optimizer: ``_target_`` and arguments of the optimizer: see `caviar.lightning.optimizers`.
        scheduler: ``_target_`` and arguments of a `project.schedulers.Schedule`; None: constant.
        metrics: name -> ``_target_`` and arguments of a torchmetrics metric, which gets
            probabilities and integer targets.
        label_smoothing: share of the target that is spread evenly over all classes.
        class_weights: a factor on the loss of each class; None: all 1.
        metric: the metric that a plateau schedule watches.
        direction: what is better for ``metric``: ``maximize`` or ``minimize``.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        metric: str = "val/loss",
        direction: str = "minimize",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.network = instantiate(network, _only_=torch.nn.Module)
        self.schedule: Schedule = (
            instantiate(scheduler, _only_=Schedule) if scheduler else Schedule()
        )
        sized = {
            name: {**settings, "num_classes": network["num_classes"]}
            for name, settings in (metrics or {}).items()
        }
        self.metrics = MetricCollection(instantiate(sized, _only_=Metric, _convert_="all"))
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.label_smoothing = label_smoothing
        self._train_loss = Mean()
        self._eval_loss = Mean()

    @classmethod
    def of(cls, config: DictConfig, data: Any) -> "Classifier":
        """The module that a run's config describes, for the sizes and classes that ``data`` has.

        A network's ``in_features`` and ``num_classes`` are the data's.
        """
        network = plain(config.model)
        loss = network.pop("loss", None) or {}
        loss["class_weights"] = data.class_weights(loss.get("class_weights"))
        sizes = {"in_features": data.num_features, "num_classes": data.num_classes}
        module = cls(
            network={**network, **sizes},
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

    @staticmethod
    def columns(outputs: Sequence[Mapping[str, Tensor]], data: Any) -> dict[str, Any]:
        """The class and the probability of each class, for the table of predictions."""
        probabilities = torch.cat([one["probabilities"] for one in outputs]).numpy()
        unknown = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        if len(unknown):
            raise UsageError(f"data: row {unknown[0] + 1}: its probabilities are no numbers")
        likeliest = torch.cat([one["classes"] for one in outputs]).tolist()
        names = data.classes
        return {
            "class": [names[index] for index in likeliest],
            **{f"probability_{name}": probabilities[:, i] for i, name in enumerate(names)},
        }

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape ``(batch, num_classes)``."""
        return self.network(x)

    def loss_per_sample(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample, in nats, computed from the logits for stability.

        Args:
            logits: shape ``(batch, num_classes)``.
            targets: classes of shape ``(batch,)``, or probabilities of shape
                ``(batch, num_classes)`` (one-hot or soft).

        Returns:
            Shape ``(batch,)``. The loss of a batch is its plain mean, with class weights too.
        """
        return functional.cross_entropy(
            logits,
            targets,
            weight=self.class_weights,  # type: ignore[arg-type]
            label_smoothing=self.label_smoothing,
            reduction="none",
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, targets = batch
        loss = self.loss_per_sample(self(x), targets).mean()
        # Summed on the device and logged once an epoch: `self.log` at every step costs more time
        # than the step of a small network, and `.item()` would wait for the device.
        self._train_loss.add(loss.detach(), 1)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def on_train_epoch_end(self) -> None:
        # Where validation has run, the training loss is in its row already.
        if self._train_loss.count:
            self.log("train/loss", self._train_loss.take(), sync_dist=True)

    def predict_step(self, batch: Batch | Tensor, batch_idx: int = 0) -> dict[str, Tensor]:
        """Softmax probabilities ``(batch, num_classes)`` and the likeliest class ``(batch,)``."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        probabilities = self(x).softmax(dim=-1)
        return {"probabilities": probabilities, "classes": probabilities.argmax(dim=-1)}

    def configure_optimizers(self) -> Any:
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

    def _evaluate(self, batch: Batch) -> None:
        x, targets = batch
        logits = self(x)
        self._eval_loss.add(self.loss_per_sample(logits, targets).sum(), len(x))
        classes = targets if targets.ndim == 1 else targets.argmax(dim=-1)
        self.metrics.update(logits.softmax(dim=-1), classes)

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


class Mean:
    """A running mean that stays on its device until it is taken."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.count = 0

    def add(self, total: Tensor, count: int) -> None:
        self.total = self.total + total
        self.count += count

    def take(self) -> Tensor:
        """The mean so far (NaN of nothing); it starts afresh after."""
        mean = torch.as_tensor(self.total) / self.count if self.count else torch.tensor(math.nan)
        self.total, self.count = 0.0, 0
        return mean
