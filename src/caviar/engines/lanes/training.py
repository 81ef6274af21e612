"""One trial on its lane: all that concerns it alone, epoch after epoch."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cache, cached_property
from typing import Any

import torch

from caviar.base.errors import UsageError, name_and_text
from caviar.engines.experiment import Recipe
from caviar.engines.lanes.schedule import LaneSchedule
from caviar.engines.progress import Progress
from caviar.engines.stacked.course import course_of, refuse_unordered
from caviar.engines.stacked.networks import plan_and_weights
from caviar.engines.stacked.optimizers import LaneOptimizer, optimizer_of


class Training(Progress):
    """A trial while it trains on a lane.

    Attributes:
        weights: of its network before the first step, a state dict.
        key: trainings with the same one may share a stack.

    Raises:
        NotFusibleError: it cannot be a lane.
        UsageError: what its optimizer says of its settings.
        Exception: what its network says of its own.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.course = course_of(recipe)
        super().__init__(recipe, double=self.course.dtype == torch.float64)
        settings = dict(recipe.optimizer)
        self.optimizer: LaneOptimizer = optimizer_of(str(settings.pop("_target_")))
        self.settings = self.optimizer.settings(settings)
        _check(self.optimizer.target, settings)
        self.plan, self.weights = plan_and_weights(recipe)
        refuse_unordered(recipe, self.plan)
        steps = self.course.steps
        total = steps * self.course.max_epochs
        self.schedule = LaneSchedule(recipe, float(settings["lr"]), total, steps)
        self._rates: tuple[int, list[float]] = (-1, [])

    @cached_property
    def key(self) -> Hashable:
        """The kind: trainings with the same one may share a stack."""
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
        found = {"train/loss": train_loss, **(metrics or {})}
        self.metrics = {**self.metrics, **found}
        self.rows.append({"epoch": self.epoch, "step": self.steps_done - 1, **found})
        self.note({**found, "epoch": self.epoch}, self.steps_done - 1)
        self.scoring.improved = False
        self.guard(self.steps_done)
        over = False
        if metrics is not None:
            self.take_score()
            over = self.stops_early()
        self.schedule.epoch_ended(self.metrics)
        self.epoch += 1
        return over or self.epoch >= self.course.max_epochs

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

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. The schedule is brought to where it was.

        A training that was taken off its lane and gets another one is there already, and so is its
        schedule.
        """
        there = len(self.rows)
        super().load_state(state)
        so_far: dict[str, float] = {}
        for row in self.rows[there:]:
            self.schedule.epoch()
            so_far |= row
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
