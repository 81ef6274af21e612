"""Lightning's monitor of learning rates on a lane: it logs what it logs beside a Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor

from caviar.base.private import seen_by_rates
from caviar.engines.experiment import NotFusibleError

_HOOKS = ("on_train_start", "on_train_epoch_start", "on_train_batch_start")

_KEPT = ("lrs", "last_momentum_values", "last_weight_decay_values")


class Rates:
    """A lane's monitor of learning rates.

    Args:
        callback: Lightning's.

    Raises:
        NotFusibleError: it is of a class that does more.
    """

    monitors = False

    def __init__(self, callback: LearningRateMonitor) -> None:
        for name in dir(Callback):
            own = getattr(type(callback), name)
            if not name.startswith("_") and own is not getattr(LearningRateMonitor, name):
                raise NotFusibleError(f"{name} is its own")
        self._callback = callback
        self.stepwise = callback.logging_interval != "epoch"

    def call(self, hook: str, lane: Any) -> None:
        if hook in _HOOKS:
            getattr(self._callback, hook)(_seen(lane), lane.module)

    def save(self) -> dict[str, Any]:
        found: dict[str, Any] = {name: dict(getattr(self._callback, name)) for name in _KEPT}
        return {**found, "lrs": {name: list(own) for name, own in self._callback.lrs.items()}}

    def load(self, saved: Mapping[str, Any], lane: Any) -> None:
        for name in _KEPT:
            setattr(self._callback, name, deepcopy(saved[name]))


def _seen(lane: Any) -> Any:
    """What of a Trainer the monitor looks at."""
    trainer, every = lane.trainer, lane.course.log_every
    step = trainer.global_step

    def log_metrics(metrics: Mapping[str, float], step: int) -> None:
        lane.log_ahead({name: float(value) for name, value in metrics.items()}, step)

    return seen_by_rates(trainer, log_metrics, step, bool(every) and (step + 1) % every == 0)
