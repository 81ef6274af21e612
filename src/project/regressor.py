"""Regression: a number a sample, learnt in standard deviations and told in its own unit."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional

from caviar import usage_error
from caviar.lightning.making import plain
from project.supervised import Batch, Supervised, finite

LOSSES = ("mse", "huber")


class Regressor(Supervised):
    """Trains a network that gives one number.

    The loss is of targets in standard deviations from the training part's mean; metrics and predictions are
    in the target's own unit.

    Args:
        network, optimizer, scheduler, metric, direction: see `Classifier`; the network gives
            ``(batch, 1)``.
        metrics: name -> ``_target_`` and arguments of a torchmetrics metric on numbers.
        loss: ``mse`` or ``huber``.
        huber_delta: from how many standard deviations on an error counts linearly.
        mean, scale: the target's in the training part.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        loss: str = "mse",
        huber_delta: float = 1.0,
        mean: float = 0.0,
        scale: float = 1.0,
        metric: str = "val/loss",
        direction: str = "minimize",
    ) -> None:
        if loss not in LOSSES:
            raise usage_error("task.loss", loss, "no such loss", LOSSES)
        super().__init__(network, scheduler, metrics)
        self.save_hyperparameters(logger=False)
        self.loss, self.huber_delta = loss, huber_delta
        self.mean, self.scale = mean, scale

    @classmethod
    def of(cls, config: DictConfig, data: Any) -> "Regressor":
        """The module that a run's config describes, for the features and the target that ``data`` have.

        Raises:
            UsageError: the target is no number, or ``model.loss`` asks for what only classes have.
        """
        target = getattr(data, "target_scale", None)
        if target is None:
            why = "the target of these data is a class, not a number: task=classification"
            raise usage_error("task", cls.__name__, why)
        for name, value in (plain(config.model.get("loss")) or {}).items():
            if value:
                raise usage_error(f"model.loss.{name}", value, "is of classes, not of numbers")
        loss = {key: value for key, value in plain(config.task).items() if key != "_target_"}
        mean, scale = target
        return cls.made(config, data, 1, **loss, mean=mean, scale=scale)

    def loss_per_sample(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared or Huber loss (halves of squares up to ``huber_delta``), shape ``(batch,)``."""
        predicted = outputs.squeeze(-1)
        if self.loss == "mse":
            return functional.mse_loss(predicted, targets, reduction="none")
        return functional.huber_loss(predicted, targets, reduction="none", delta=self.huber_delta)

    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        self.metrics.update(self._told(outputs.squeeze(-1)), self._told(targets))

    def predict_step(self, batch: Batch | Tensor, batch_idx: int = 0) -> Tensor:
        """The numbers, shape ``(batch,)``."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        return self._told(self(x).squeeze(-1))

    @staticmethod
    def columns(outputs: Sequence[Tensor], data: Any) -> dict[str, Any]:
        """The numbers, for the table of predictions."""
        return {"prediction": finite(torch.cat(list(outputs)), "its prediction is no number")}

    def _told(self, standardised: Tensor) -> Tensor:
        """In the target's own unit; in double precision, as it may be far from 0."""
        return standardised.double() * self.scale + self.mean
