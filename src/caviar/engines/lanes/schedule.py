"""One lane's learning rate: the same torch schedulers as in solo, on an optimizer of one number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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
        self._by_step: list[Any] = []
        self._by_epoch: list[Mapping[str, Any]] = []
        if recipe.schedule is None:
            return
        self._optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
        for settings in recipe.schedule(self._optimizer, steps, epoch_steps):
            if settings.get("frequency", 1) != 1:
                raise NotFusibleError(f"a scheduler with frequency={settings['frequency']}")
            if settings.get("interval", "epoch") == "step":
                self._by_step.append(settings["scheduler"])
            else:
                self._by_epoch.append(settings)
        self._optimizer.step()  # torch warns when a scheduler is stepped before its optimizer
        self._curve = None
        if not self._by_epoch and [type(one) for one in self._by_step] == [LambdaLR]:
            # Read off rather than stepped: a step costs as much as a small network's.
            self._curve = self._by_step[0].lr_lambdas[0]

    def epoch(self) -> list[float]:
        """The learning rate of each step of the next epoch."""
        first, self._done = self._done, self._done + self._epoch_steps
        if not self._by_step and not self._by_epoch:
            return [self._lr] * self._epoch_steps
        if self._curve is not None:
            return [self._lr * self._curve(step) for step in range(first, self._done)]
        rates = []
        for _ in range(self._epoch_steps):
            rates.append(float(self._optimizer.param_groups[0]["lr"]))
            for scheduler in self._by_step:
                scheduler.step()
        return rates

    def epoch_ended(self, metrics: Mapping[str, float]) -> None:
        """Step what is stepped once an epoch; ``metrics`` is what the validation gave."""
        for settings in self._by_epoch:
            scheduler = settings["scheduler"]
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(metrics[settings["monitor"]])
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    scheduler.step()
