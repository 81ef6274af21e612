"""The score: the monitored metric at its best epoch, and what else is scored, at the same one."""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.base.errors import usage_error
from caviar.runs.active import TrialInterrupted, asked_to_stop, report


def better(value: float, than: float, direction: str) -> bool:
    """Whether ``value`` beats ``than``; a tie does not, so the first of equals is the best."""
    return value > than if direction == "maximize" else value < than


def monitored(trainer: Trainer, metric: str) -> float:
    """The last value of ``metric``.

    Raises:
        UsageError: it was not logged.
        FloatingPointError: it is NaN, so no epoch could be called the best.
    """
    logged = trainer.callback_metrics
    if metric not in logged:
        raise usage_error("metric", metric, "not logged", sorted(logged))
    value = float(logged[metric])
    if math.isnan(value):
        raise FloatingPointError(f"{metric} is nan at epoch {trainer.current_epoch}")
    return value


def in_any_process(trainer: Trainer, decision: bool) -> bool:
    """Whether any process of a training has decided so: what they do together, all have to do."""
    return trainer.strategy.reduce_boolean_decision(decision, all=False)


class Score(Callback):
    """Reports the metric after every epoch with a validation; keeps all metrics of the best epoch.

    Args:
        metric: what is scored, and ``direction``: what is better for it.
        also: further metrics that are scores, each at that metric's best epoch.

    Attributes:
        value: the best value; None before the first validation.
        epoch: the epoch (from 0) it is of.
        metrics: every metric logged at that epoch.
    """

    def __init__(self, metric: str, direction: str, also: Sequence[str] = ()) -> None:
        self.metric = metric
        self.direction = direction
        self.also = tuple(also)
        self.value: float | None = None
        self.epoch: int | None = None
        self.metrics: dict[str, float] = {}
        self._unreported: float | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take in the score of a validation."""
        if trainer.sanity_checking:
            return
        value, *_ = [monitored(trainer, metric) for metric in (self.metric, *self.also)]
        if self.value is None or better(value, self.value, self.direction):
            self.value, self.epoch = value, trainer.current_epoch
            self.metrics = {
                name: float(logged) for name, logged in trainer.callback_metrics.items()
            }
        self._unreported = value

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report it."""
        value, self._unreported = self._unreported, None
        if value is not None:
            with suppress(TrialInterrupted):  # it ends a moment later, with all of the epoch done
                report(value, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise TrialInterrupted where the trial is to stop."""
        # Here, and not as the last epoch ends: what early stopping and a schedule make of that one is
        # then in the checkpoint, and a training that is over is not interrupted.
        if in_any_process(trainer, asked_to_stop()):
            raise TrialInterrupted(f"stopped at step {trainer.current_epoch - 1}")

    @property
    def values(self) -> list[float]:
        """The score of each objective, all of the same epoch."""
        return [self.metrics[metric] for metric in (self.metric, *self.also)]

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch, "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.value, self.epoch = state_dict["value"], state_dict["epoch"]
        self.metrics = state_dict["metrics"]
