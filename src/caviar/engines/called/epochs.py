"""What a Trainer does around the batches of an epoch, for one lane: its hooks, logs and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caviar.base.private import in_hook
from caviar.engines.called.course import Course, DefaultType
from caviar.engines.called.feeds import Feed
from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.reasons import located
from caviar.engines.called.refusals import overridden
from caviar.engines.called.results import Computed, Results, as_tensor, meta_of
from caviar.engines.called.seeds import Draws, drawing
from caviar.engines.experiment import Called, NotFusibleError
from caviar.engines.progress import Progress

EVERY_STEPS = 50
"""Steps between two looks at the loss, as the callback has it that guards against NaN."""


@dataclass(frozen=True)
class Length:
    """How long an epoch is: ``batches``, and ``steps`` of the optimizer."""

    batches: int
    steps: int


class Epochs(Progress):
    """The course of one lane's training; its steps are done elsewhere, with those of others.

    Attributes:
        module: its own; ``hooked`` names the hooks that the module has.
        trainer: what the module finds where its Trainer would be.
        schedulers: as Lightning has them, with their settings.
        error: what of this lane alone has failed in the epoch under way.
    """

    module: Any
    trainer: LaneTrainer
    course: Course
    recipe: Called
    length: Length
    train: Feed
    val: Feed | None
    schedulers: list[Any]
    draws: Draws
    hooked: list[str]

    def __init__(self, called: Called, double: bool) -> None:
        super().__init__(called, double)
        self.best: dict[str, Tensor] | None = None
        self.error: BaseException | None = None
        self.starting, self.validation = Results(), Results()
        self._results: Results | None = None
        self._hook = ""
        self._parts: dict[str, Any] = {}
        self._modes: dict[str, bool] = {}

    def read_attributes(self) -> None:
        """Look again at what its module keeps in attributes: a hook may have set some."""

    def weights(self) -> dict[str, Tensor]:
        """Its state dict as it stands, copied."""
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    @property
    def steps_done(self) -> int:
        """Optimizer steps at the end of the epoch under way."""
        return (self.epoch + 1) * self.length.steps

    def validates(self) -> bool:
        """Whether the epoch under way ends in a validation."""
        return self.val is not None and (self.epoch + 1) % self.course.val_every == 0

    def call(self, hook: str, results: Results | None = None) -> None:
        """Call a hook of the module, which may log."""
        if not overridden(self.module, hook):
            return
        self._hook, self._results = hook, results
        in_hook(self.module, hook)
        with drawing(self.draws), DefaultType(self.course.dtype):
            try:
                getattr(self.module, hook)()
            except NotFusibleError as error:
                raise located(error) from error
        self._results = None
        in_hook(self.module, None)

    def _log(self, name: str, value: Any, *args: Any, **given: Any) -> None:
        given.update(zip(("prog_bar", "logger", "on_step", "on_epoch"), args, strict=False))
        if self._results is None:
            raise NotFusibleError(f"self.log({name!r}, …) in {self._hook or 'no hook'}")
        meta = meta_of(self._hook, name, given)
        if _is_metric(value):
            self._results.log_metric(self._hook, meta, value)
        else:
            size = given.get("batch_size") or 1
            self._results.log(self._hook, meta, as_tensor(value, name), size)

    def look_at(self, loss: float) -> None:
        """Note that a step's loss is no number any more: the training ends with the epoch."""
        if not math.isfinite(loss) and self.error is None:
            self.error = FloatingPointError(
                f"train/loss is {loss} at epoch {self.epoch}, step {self.trainer.global_step}: "
                "a lower optimizer.lr or trainer.gradient_clip_val=1 may help"
            )

    def logged(self, found: list[Computed], on_step: bool, training: bool, rows: bool) -> None:
        """Take in what was logged: for callbacks, and as a part of the epoch's row.

        Args:
            training: the loop over training batches gave it.
            rows: it is for loggers too, now.
        """
        row = {}
        for meta, value in found:
            name, full = meta.names(on_step)
            number = float(value)
            if meta.logger:
                row[full] = number
            if training or not on_step:
                self.metrics[name] = self.metrics[full] = number
                tensor = value if isinstance(value, Tensor) else torch.tensor(number)
                self.trainer.callback_metrics[name] = tensor
                self.trainer.callback_metrics[full] = tensor
        self.trainer.logged_metrics.update(row)
        if rows and row:
            self.log_row(row)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Log as a Trainer's logger of metrics.csv does: what an epoch gives is one row."""
        values = dict(row)
        step = values.pop("step", None)
        if step is None:
            self.note({**values, "epoch": self.epoch}, self.step_logged)
        else:
            self.note(values, int(step))
        where = {"epoch": self.epoch, "step": self.step_logged if step is None else int(step)}
        if self.rows and self.rows[-1]["epoch"] == self.epoch:
            self.rows[-1].update({**where, **values})
        else:
            self.rows.append({**where, **values})

    @property
    def step_logged(self) -> int:
        """The step that loggers are told: the last that was done, from 0."""
        return self.trainer.global_step - 1

    def schedule(self, interval: str, plateau: bool, batch_idx: int) -> None:
        """Step its schedulers, as a Trainer does it at a step's or an epoch's end."""
        for own in self.schedulers:
            now = (batch_idx if interval == "step" else self.epoch) + 1
            if own.reduce_on_plateau is not plateau or own.interval != interval:
                continue
            if now % own.frequency:
                continue
            value = None
            if own.reduce_on_plateau:
                value = self.trainer.callback_metrics.get(own.monitor)
                if value is None and own.strict:
                    known = sorted(self.trainer.callback_metrics)
                    raise ValueError(
                        f"a schedule's monitor={own.monitor}: not logged (logged: {known})"
                    )
                if value is None:
                    continue
            self.module.lr_scheduler_step(own.scheduler, value)

    def begin_epoch(self) -> None:
        """What a Trainer does before an epoch's first batch."""
        self.starting, self.error = Results(), None
        self.trainer.training = True
        self.guarded(lambda: self.call("on_train_epoch_start", self.starting))
        if "on_train_epoch_start" in self.hooked:
            self.guarded(self.read_attributes)

    def batch_ended(self, found: list[Computed], number: int, last: bool) -> None:
        """What a Trainer does after a batch that has led to a step.

        Args:
            found: what its step has logged.
        """
        self.guarded(lambda: self.schedule("step", False, number))
        every = self.course.log_every
        if last:
            self.guarded(lambda: self.schedule("epoch", False, number))
        logs = bool(every) and self.trainer.global_step % every == 0
        if logs or last:
            self.guarded(lambda: self.logged(found, on_step=True, training=True, rows=logs))
        if not last:
            self.guarded(lambda: self.schedule("step", True, number))

    def begin_validation(self) -> None:
        """What a Trainer does before the first batch of a validation."""
        self._modes = {name: part.training for name, part in self._parts.items()}
        self.module.eval()
        self.trainer.training, self.trainer.validating = False, True
        self.validation = Results()
        for hook in ("on_validation_start", "on_validation_epoch_start"):
            self.guarded(lambda hook=hook: self.call(hook, self.validation))
            if hook in self.hooked:
                self.guarded(self.read_attributes)

    def end_validation(self, found: list[Computed]) -> None:
        """What a Trainer does after the last batch of a validation.

        Args:
            found: what its steps have logged.
        """
        self.guarded(lambda: self._end_validation(found))
        for name, part in self._parts.items():
            part.training = self._modes[name]
        self.trainer.training, self.trainer.validating = True, False

    def _end_validation(self, found: list[Computed]) -> None:
        self.call("on_validation_epoch_end", self.validation)
        found = [*found, *self.validation.of_epoch()]
        self.logged(self._computed(found), on_step=False, training=False, rows=True)
        self.call("on_validation_end")
        self._reset(found)
        self.guard(self.steps_done)
        self.take_score()
        if self.scoring.improved:
            self.best = self.weights()
        if self.course.val_every > 1 and self.stops_early():
            self.trainer.should_stop = True

    def end_epoch(self, found: list[Computed], number: int) -> bool:
        """What a Trainer does after an epoch's last batch, and its validation; whether it is over.

        Args:
            found: what its steps have logged.
            number: of the last batch.
        """
        validated = self.validates()
        self.schedule("step", True, number)
        ending = Results()
        self.call("on_train_epoch_end", ending)
        found = [*self.starting.of_epoch(), *found, *ending.of_epoch()]
        self.logged(self._computed(found), on_step=False, training=True, rows=True)
        self.schedule("epoch", True, number)
        self._reset(found)
        if not validated:
            self.scoring.improved = False
        elif self.course.val_every == 1 and self.stops_early():
            self.trainer.should_stop = True
        self.guard(self.steps_done)
        if self.hooked:
            self.read_attributes()
        self.epoch += 1
        self.trainer.current_epoch = self.epoch
        return self.trainer.should_stop or self.epoch >= self.course.max_epochs

    def guarded(self, do: Callable[[], None]) -> None:
        """Do something of this lane's alone: what it raises is told when the epoch ends."""
        if self.error is None:
            try:
                do()
            except BaseException as error:  # its own: its neighbours go on
                self.error = error

    def metric(self, name: str) -> Any:
        """One of its module's metrics."""
        return self.module.get_submodule(name)

    def _computed(self, found: list[Computed]) -> list[Computed]:
        return [
            (meta, self._metric(value).compute() if _is_metric(value) else value)
            for meta, value in found
        ]

    def _reset(self, found: list[Computed]) -> None:
        for _, value in found:
            if _is_metric(value):
                self._metric(value).reset()

    def _metric(self, value: Any) -> Any:
        return self.metric(value) if isinstance(value, str) else value


def _is_metric(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "compute")
