"""The score: what each validation logged is taken in, and reported."""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.base.errors import usage_error
from caviar.base.scoring import BEST, Scoring
from caviar.runs.active import TrialInterrupted, asked_to_stop, report


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
    """Reports the metric after every epoch with a validation; keeps all metrics of those that count.

    Args:
        metrics: what is scored; the first is what is reported.
        direction: what is better for it.
        score: which epochs count: see `caviar.base.scoring.averaged`.
    """

    def __init__(self, metrics: Sequence[str], direction: str, score: str = BEST) -> None:
        self.metrics = tuple(metrics)
        self.scoring = Scoring(metrics, direction, score)
        self._unreported: float | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take in the score of a validation."""
        if trainer.sanity_checking:
            return
        self._unreported, *_ = [monitored(trainer, metric) for metric in self.metrics]
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.scoring.take(logged, trainer.current_epoch)

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

    def state_dict(self) -> dict[str, Any]:
        return self.scoring.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scoring.load_state(state_dict)
