"""One lane's learning rate: the same torch schedulers as in solo, on an optimizer of one number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from caviar.engines.experiment import NotFusibleError, Recipe


class LaneSchedule:
    """Tells a lane's learning rates an epoch at a time.

    Args:
        recipe: whose schedule it is.
        lr: the full learning rate.
        steps: of the whole training.
        epoch_steps: of one epoch.

    Raises:
        NotFusibleError: a schedule that does more than set the learning rate by steps and epochs.
    """

    def __init__(self, recipe: Recipe, lr: float, steps: int, epoch_steps: int) -> None:
        self._lr = lr
        self._epoch_steps = epoch_steps
        self._done = 0
        self._schedulers: Sequence[Mapping[str, Any]] = []
        if recipe.schedule is None:
            return
        self._optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
        self._schedulers = recipe.schedule(self._optimizer, steps, epoch_steps)
        for settings in self._schedulers:
            if settings.get("frequency", 1) != 1:
                raise NotFusibleError(f"a scheduler with frequency={settings['frequency']}")
        self._optimizer.step()  # torch warns when a scheduler is stepped before its optimizer
        self._curve = None
        if len(self._schedulers) == 1 and self._by_step(self._schedulers[0]):
            scheduler = self._schedulers[0]["scheduler"]
            if type(scheduler) is LambdaLR:
                # Read off rather than stepped: a step costs as much as a small network's.
                self._curve = scheduler.lr_lambdas[0]

    def epoch(self) -> list[float]:
        """The learning rate of each step of the next epoch."""
        first, self._done = self._done, self._done + self._epoch_steps
        if not self._schedulers:
            return [self._lr] * self._epoch_steps
        if self._curve is not None:
            return [self._lr * self._curve(step) for step in range(first, self._done)]
        rates = []
        for _ in range(self._epoch_steps):
            rates.append(float(self._optimizer.param_groups[0]["lr"]))
            for settings in self._schedulers:
                if self._by_step(settings):
                    settings["scheduler"].step()
        return rates

    def epoch_ended(self, metrics: Mapping[str, float]) -> None:
        """Step what is stepped once an epoch; ``metrics`` is what the validation gave."""
        for settings in self._schedulers:
            if self._by_step(settings):
                continue
            scheduler = settings["scheduler"]
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(metrics[settings["monitor"]])
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    scheduler.step()

    @staticmethod
    def _by_step(settings: Mapping[str, Any]) -> bool:
        return settings.get("interval", "epoch") == "step"
