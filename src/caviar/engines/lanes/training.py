"""One trial on its lane: all that concerns it alone, epoch after epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from caviar.base.direction import better, sign_of
from caviar.base.errors import UsageError, name_and_text, usage_error
from caviar.engines.experiment import Recipe
from caviar.engines.lanes.schedule import LaneSchedule
from caviar.engines.stacked.course import course_of
from caviar.engines.stacked.networks import plan_and_weights
from caviar.engines.stacked.optimizers import LaneOptimizer, optimizer_of


class Training:
    """A trial while it trains on a lane.

    Args:
        recipe: what it is.

    Attributes:
        weights: of its network before the first step, a state dict.
        key: trainings with the same one may share a stack.
        epoch: how many epochs it has behind it.
        rows: of metrics.csv so far.
        score, best_epoch, best_metrics: of its best epoch.
        improved: whether the last epoch is the best.

    Raises:
        NotFusibleError: it cannot be a lane.
        UsageError: what its optimizer says of its settings.
        Exception: what its network says of its own.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.course = course_of(recipe)
        settings = dict(recipe.optimizer)
        self.optimizer: LaneOptimizer = optimizer_of(str(settings.pop("_target_")))
        self.settings = self.optimizer.settings(settings)
        _check(self.optimizer.target, settings)
        self.plan, self.weights = plan_and_weights(recipe)
        steps = self.course.steps
        total = steps * self.course.max_epochs
        self.schedule = LaneSchedule(recipe, float(settings["lr"]), total, steps)
        self.epoch = 0
        self.rows: list[dict[str, Any]] = []
        self.score: float | None = None
        self.best_epoch: int | None = None
        self.best_metrics: dict[str, float] = {}
        self.improved = False
        self.metrics: dict[str, float] = {}
        self._waited = 0
        self._best_waited_for: Any = None
        self._rates: tuple[int, list[float]] = (-1, [])

    @cached_property
    def key(self) -> Hashable:
        course, recipe = self.course, self.recipe
        return (
            self.plan.key,
            self.optimizer.target,
            recipe.decay_all,
            tuple(id(tensor) for tensor in (*recipe.train, *recipe.val)),
            (course.batch_size, course.steps, course.samples, course.eval_samples),
            (course.val_every, course.norm is None, course.value is None),
            (course.dtype, course.mixed),
            json.dumps(recipe.metrics, sort_keys=True, default=str),
        )

    def epoch_ended(self, train_loss: float, metrics: Mapping[str, float] | None) -> bool:
        """Take in what an epoch gave, and say whether the training is over.

        Args:
            train_loss: the mean over the steps.
            metrics: of the validation, where there was one: ``val/…``.

        Raises:
            FloatingPointError: a loss is not finite, or a score is NaN.
            UsageError: a score was not logged.
        """
        recipe, epoch = self.recipe, self.epoch
        self.improved = False
        found = {"train/loss": train_loss, **(metrics or {})}
        self.metrics = {**self.metrics, **found}
        self.rows.append({"epoch": epoch, "step": self.steps_done - 1, **found})
        if recipe.nan_guard:
            self._require_finite("train/loss")
            self._require_finite("val/loss")
        over = False
        if metrics is not None:
            for name in recipe.objectives:
                if name not in self.metrics:
                    raise usage_error("metric", name, "not logged", sorted(self.metrics))
                if math.isnan(self.metrics[name]):
                    raise FloatingPointError(f"{name} is nan at epoch {epoch}")
            value = self.metrics[recipe.metric]
            if self.score is None or better(value, self.score, recipe.direction):
                self.score, self.best_epoch, self.improved = value, epoch, True
                self.best_metrics = dict(self.metrics)
            over = self._stops_early()
        self.schedule.epoch_ended(self.metrics)
        self.epoch += 1
        return over or self.epoch >= self.course.max_epochs

    @property
    def scores(self) -> list[float]:
        """The score of each objective, all of the best epoch."""
        return [self.best_metrics[name] for name in self.recipe.objectives]

    @property
    def steps_done(self) -> int:
        """Optimizer steps at the end of the epoch under way."""
        return (self.epoch + 1) * self.course.steps

    def rates(self) -> list[float]:
        """The learning rate of each step of the epoch under way; the same when asked again."""
        if self._rates[0] != self.epoch:
            self._rates = (self.epoch, self.schedule.epoch())
        return self._rates[1]

    def validates(self) -> bool:
        """Whether the epoch under way ends in a validation."""
        return (self.epoch + 1) % self.course.val_every == 0

    def _require_finite(self, name: str) -> None:
        loss = self.metrics.get(name, 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"{name} is {loss} at epoch {self.epoch}, step {self.steps_done}: "
                "a lower optimizer.lr or trainer.gradient_clip_val=1 may help"
            )

    def _stops_early(self) -> bool:
        stopping = self.recipe.early_stopping
        if stopping is None:
            return False
        # In the metric's own precision, as Lightning compares.
        number = np.float64 if self.course.dtype == torch.float64 else np.float32
        value, delta = number(self.metrics[stopping.metric]), number(stopping.min_delta)
        if not np.isfinite(value):
            return True  # as Lightning has it: it gets no better
        best, sign = self._best_waited_for, -sign_of(stopping.direction)
        if best is None or sign * (value - sign * delta) > sign * best:
            self._best_waited_for, self._waited = value, 0
            return False
        self._waited += 1
        return self._waited >= stopping.patience

    def state(self) -> dict[str, Any]:
        """What it takes, beside its lane's tensors, to go on with it later."""
        return {
            "epoch": self.epoch,
            "rows": list(self.rows),
            "score": self.score,
            "best_epoch": self.best_epoch,
            "best_metrics": self.best_metrics,
            "metrics": self.metrics,
            "waited": self._waited,
            "best_waited_for": None
            if self._best_waited_for is None
            else float(self._best_waited_for),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. The schedule is brought to where it was.

        A training that was taken off its lane and gets another one is there already, and so is its
        schedule.
        """
        there = len(self.rows)
        self._waited, self._best_waited_for = state["waited"], state["best_waited_for"]
        for name in ("epoch", "rows", "score", "best_epoch", "best_metrics", "metrics"):
            setattr(self, name, state[name])
        so_far: dict[str, float] = {}
        for row in self.rows[there:]:
            self.schedule.epoch()
            so_far.update(
                {name: value for name, value in row.items() if name not in ("epoch", "step")}
            )
            self.schedule.epoch_ended(so_far)


def _check(target: type[torch.optim.Optimizer], settings: Mapping[str, Any]) -> None:
    """Raise UsageError, in the words that `caviar.instantiate` has for it, for what torch refuses."""
    try:
        _checking(target)([torch.zeros(1)], **settings)
    except Exception as error:
        name = f"{target.__module__}.{target.__qualname__}"
        raise UsageError(f"{name}: {name_and_text(error)}") from error


@cache
def _checking(target: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """A torch optimizer that checks its settings and does no more.

    To take parameters in would import torch's compiler, a second of processor time.
    """

    class Checking(target):
        def add_param_group(self, param_group: dict[str, Any]) -> None:
            pass

    return Checking
