"""What a Trainer does around the batches of an epoch, for one lane: its hooks, logs and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caviar.base.private import in_hook
from caviar.engines.called.callbacks import STAGED, Callbacks
from caviar.engines.called.course import Course, DefaultType
from caviar.engines.called.feeds import Feed
from caviar.engines.called.logs import Logs
from caviar.engines.called.pretend import Elsewhere, Nowhere, nothing
from caviar.engines.called.reasons import located
from caviar.engines.called.refusals import overridden
from caviar.engines.called.results import Computed, Results
from caviar.engines.called.schedules import step_schedules
from caviar.engines.called.seeds import Draws, drawing
from caviar.engines.called.structure import Structure
from caviar.engines.experiment import Called, NotFusibleError
from caviar.runs.active import activate

EVERY_STEPS = 50
"""Steps between two looks at the loss, as the callback has it that guards against NaN."""


@dataclass(frozen=True)
class Length:
    """How long an epoch is: ``batches``, and ``steps`` of the optimizer."""

    batches: int
    steps: int


_TOO_EARLY = ("setup", "on_fit_start", "on_train_start", "on_train_epoch_start")
"""Hooks in which ``trainer.should_stop`` would end an epoch without a batch."""


class Epochs(Logs):
    """The course of one lane's training; its steps are done elsewhere, with those of others.

    Attributes:
        hooked: names the hooks that the module has, or a callback.
        callbacks: its own.
        structure: what hooks may not change; None until the training begins.
        optimizer, schedulers: as Lightning has them, with their settings.
        error: what of this lane alone has failed in the epoch under way.
    """

    course: Course
    recipe: Called
    length: Length
    train: Feed
    val: Feed | None
    optimizer: torch.optim.Optimizer
    schedulers: list[Any]
    draws: Draws
    hooked: set[str]
    callbacks: Callbacks

    def __init__(self, called: Called, double: bool) -> None:
        super().__init__(called, double)
        self.best: dict[str, Tensor] | None = None
        self.error: BaseException | None = None
        self.starting, self.validation = Results(), Results()
        self.structure: Structure | None = None
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

    @property
    def steps_elsewhere(self) -> bool:
        """Whether what its optimizer keeps is not in it, but stacked with that of others."""
        return False

    def call(
        self,
        hook: str,
        results: Results | None = None,
        seen: Sequence[Computed] = (),
        between: Callable[[], None] = nothing,
    ) -> None:
        """Call a hook of the callbacks and of the module, in a Trainer's order.

        Args:
            results: what they log to; None where they cannot.
            seen: what has been logged for the epoch so far, for those who look at ``callback_metrics``.
            between: what is done after the callbacks, and before the module.
        """
        own = overridden(self.module, hook)
        if not (own or self.callbacks):
            between()
            return
        self._hook, self._results = hook, results
        self._looks(seen, results)
        in_hook(self.module, hook)
        monitoring = False if hook == "on_train_epoch_end" else None
        try:
            with ExitStack() as stack:
                if hook.startswith("on_validation"):
                    stack.enter_context(torch.no_grad())
                self.callbacks.call(hook, self, monitoring)
                between()
                if own:
                    self._call_own(hook)
                if monitoring is False:
                    self.callbacks.call(hook, self, True)
        finally:
            self._results = None
            vars(self.trainer)["look"] = nothing
            in_hook(self.module, None)

    def _call_own(self, hook: str) -> None:
        try:
            with self.lent(hook), DefaultType(self.course.dtype):
                getattr(self.module, hook)(*(("fit",) if hook in STAGED else ()))
        except NotFusibleError as error:
            raise NotFusibleError(f"{hook}: {located(error)}") from error

    @contextmanager
    def lent(self, hook: str) -> Iterator[None]:
        """While a hook of somebody's own code has the trainer and the module.

        Raises:
            NotFusibleError: it does with them what lanes cannot follow.
        """
        hidden = self.optimizer.state if self.steps_elsewhere else None
        if hidden is not None:
            self.optimizer.state = Elsewhere()  # type: ignore[assignment]
        vars(self.trainer)["is_lent"] = True
        try:
            with ExitStack() as stack:
                if self.structure is not None:
                    stack.enter_context(self.structure.kept())
                stack.enter_context(activate(Nowhere()))
                stack.enter_context(drawing(self.draws))
                yield
        finally:
            vars(self.trainer)["is_lent"] = False
            if hidden is not None:
                self.optimizer.state = hidden
        if self.trainer.should_stop and hook in _TOO_EARLY:
            raise NotFusibleError("trainer.should_stop=True before an epoch's first batch")

    def _looks(self, seen: Sequence[Computed], results: Results | None) -> None:
        """Have who looks at the trainer's metrics see what has been logged by then."""

        def look() -> None:
            vars(self.trainer)["look"] = nothing  # no metric looks back
            logged = results.of_epoch() if results is not None else []
            self.seen(self._computed([*seen, *logged]))
            vars(self.trainer)["look"] = look

        vars(self.trainer)["look"] = look

    def batch_begins(self) -> None:
        """What a Trainer does before a batch."""
        self.guarded(lambda: self.callbacks.call("on_train_batch_start", self))

    def look_at(self, loss: float) -> None:
        """Note that a step's loss is no number any more: the training ends with the epoch."""
        if not math.isfinite(loss) and self.error is None:
            self.error = FloatingPointError(
                f"train/loss is {loss} at epoch {self.epoch}, step {self.trainer.global_step}: "
                "a lower optimizer.lr or trainer.gradient_clip_val=1 may help"
            )

    def schedule(self, interval: str, plateau: bool, batch_idx: int) -> None:
        """Step its schedulers, as a Trainer does it at a step's or an epoch's end."""
        now = (batch_idx if interval == "step" else self.epoch) + 1
        step_schedules(self.module, self.schedulers, interval, plateau, now)

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
            self.guarded(lambda: self.logged(found, on_step=True, rows=logs))
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
        self.call("on_validation_epoch_end", self.validation, found)
        found = [*found, *self.validation.of_epoch()]
        self.logged(self._computed(found), on_step=False, rows=True)
        self.call("on_validation_end", between=self._validated)
        self._reset(found)

    def _validated(self) -> None:
        """What the callbacks do that keep the score and the best weights, after all others."""
        if self.callbacks:  # they may have put something in
            self.metrics.update({k: float(v) for k, v in self.trainer.known_metrics.items()})
        self.guard(self.steps_done)
        self.take_score()
        if self.course.val_every > 1 and not self.callbacks.stops and self.stops_early():
            self.trainer.should_stop = True
        if self.scoring.improved:
            average = self.callbacks.average
            self.best = self.weights() if average is None else average.weights(self)

    def end_epoch(self, found: list[Computed], number: int) -> bool:
        """What a Trainer does after an epoch's last batch, and its validation; whether it is over.

        Args:
            found: what its steps have logged.
            number: of the last batch.
        """
        validated = self.validates()
        self.schedule("step", True, number)
        ending, seen = Results(), [*self.starting.of_epoch(), *found]
        self.call("on_train_epoch_end", ending, seen)
        found = [*seen, *ending.of_epoch()]
        self.logged(self._computed(found), on_step=False, rows=True)
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
        over = self.trainer.should_stop or self.epoch >= self.course.max_epochs
        if over:
            for hook in ("on_train_end", "on_fit_end", "teardown"):
                self.call(hook)
        else:
            self.callbacks.check()  # what could not be put back is told now, of this lane alone
        return over

    def guarded(self, do: Callable[[], None]) -> None:
        """Do something of this lane's alone: what it raises is told when the epoch ends."""
        if self.error is None:
            try:
                do()
            except BaseException as error:  # its own: its neighbours go on
                self.error = error
