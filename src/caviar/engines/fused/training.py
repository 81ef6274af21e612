"""One trial on its lane: all that concerns it alone, epoch after epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from caviar.engines.fused.networks import plan_and_weights
from caviar.engines.fused.optimizers import LaneOptimizer, optimizer_of
from caviar.engines.fused.schedule import LaneSchedule
from caviar.errors import UsageError, name_and_text, usage_error
from caviar.experiment import NotFusibleError, Recipe

_PRECISIONS: dict[str, tuple[torch.dtype, bool]] = {
    "32": (torch.float32, False),
    "32-true": (torch.float32, False),
    "64": (torch.float64, False),
    "64-true": (torch.float64, False),
    "bf16-mixed": (torch.float32, True),
}
"""Lightning's name -> the parameters' type, and whether layers compute in bfloat16."""

_USED = {
    "max_epochs", "precision", "gradient_clip_val", "gradient_clip_algorithm",
    "limit_train_batches", "limit_val_batches", "check_val_every_n_epoch",
}  # fmt: skip
_MUST_BE: dict[str, tuple[Any, ...]] = {"devices": (1, "auto"), "accumulate_grad_batches": (1,)}
_NO_MATTER = {
    "num_sanity_val_steps", "log_every_n_steps", "benchmark",
    "enable_model_summary", "enable_progress_bar", "enable_checkpointing", "inference_mode",
}  # fmt: skip
_ON_CPU: dict[str, tuple[Any, ...]] = {
    "accelerator": ("auto", "cpu"),
    "deterministic": (True, False, "warn"),
}
_ON_GPU: dict[str, tuple[Any, ...]] = {
    "accelerator": ("auto", "gpu", "cuda"),
    "deterministic": (False,),
}
"""What lanes are where they train: a CPU is deterministic anyway."""


@dataclass(frozen=True)
class Course:
    """How a training goes through its data.

    Attributes:
        batch_size: samples a step; ``last``: those of the last step of an epoch.
        steps: of one epoch.
        samples: how many samples training goes through in an epoch, and ``eval_samples``.
        max_epochs: epochs at most.
        val_every: epochs from one validation to the next.
        norm, value: the gradient's limits, where there are some.
        dtype, mixed: see `_PRECISIONS`.
    """

    batch_size: int
    steps: int
    samples: int
    eval_samples: int
    max_epochs: int
    val_every: int
    norm: float | None
    value: float | None
    dtype: torch.dtype
    mixed: bool


def course_of(recipe: Recipe) -> Course:
    """Read the trainer's settings.

    Raises:
        NotFusibleError: one that lanes do not know.
    """
    settings = recipe.trainer
    must_be = _MUST_BE | (_ON_GPU if torch.cuda.is_available() else _ON_CPU)
    for name, value in settings.items():
        known = name in _USED or name in _NO_MATTER or value is None
        if not known and value not in must_be.get(name, ()):
            raise NotFusibleError(f"trainer.{name}={value}")
    precision = str(settings.get("precision") or "32")
    if precision not in _PRECISIONS:
        raise NotFusibleError(f"trainer.precision={precision}")
    max_epochs, val_every = settings.get("max_epochs"), settings.get("check_val_every_n_epoch", 1)
    for name, value in (("max_epochs", max_epochs), ("check_val_every_n_epoch", val_every)):
        if not isinstance(value, int) or value < 1:
            raise NotFusibleError(f"trainer.{name}={value}")
    for name, (_, y) in (("train", recipe.train), ("val", recipe.val)):
        if y.dtype != torch.int64 or y.ndim != 1:
            kind = f"{y.dtype} of shape {tuple(y.shape)}"
            raise NotFusibleError(f"targets of the {name} part that are {kind}, not a class each")
        if not len(y):
            raise ValueError(f"the {name} part has no sample")
    samples = len(recipe.train[0])
    size = min(recipe.batch_size, samples)
    full, rest = divmod(samples, size)
    steps = _limited(full if recipe.drop_last or not rest else full + 1, settings, "train")
    eval_size = min(recipe.eval_batch_size, len(recipe.val[0]))
    eval_steps = _limited(-(-len(recipe.val[0]) // eval_size), settings, "val")
    if steps <= 0 or eval_steps <= 0:
        raise NotFusibleError("an epoch without a batch")
    limit = settings.get("gradient_clip_val") or None
    if limit is not None and limit <= 0:
        limit = None  # as Lightning has it
    by_value = settings.get("gradient_clip_algorithm") == "value"
    dtype, mixed = _PRECISIONS[precision]
    return Course(
        batch_size=size,
        steps=steps,
        samples=min(steps * size, samples),
        eval_samples=min(eval_steps * eval_size, len(recipe.val[0])),
        max_epochs=max_epochs,  # type: ignore[arg-type]
        val_every=val_every,
        norm=None if by_value else limit,
        value=limit if by_value else None,
        dtype=dtype,
        mixed=mixed,
    )


def _limited(batches: int, settings: Mapping[str, Any], part: str) -> int:
    limit = settings.get(f"limit_{part}_batches", 1.0)
    if limit is None:
        return batches
    if isinstance(limit, int):
        return min(limit, batches)
    if not 0 <= limit <= 1:
        raise NotFusibleError(f"trainer.limit_{part}_batches={limit}")
    return int(batches * limit)


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
            if self.score is None or _better(value, self.score, recipe.direction):
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
        best, sign = self._best_waited_for, 1 if stopping.direction == "maximize" else -1
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


def _better(value: float, than: float, direction: str) -> bool:
    return value > than if direction == "maximize" else value < than
