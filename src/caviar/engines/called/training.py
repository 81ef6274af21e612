"""One trial on its lane, by its own LightningModule: all that concerns it alone, epoch after epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from caviar.base.private import optimizers_of
from caviar.engines.called.attributes import (
    Leaf,
    load_attributes,
    metrics_of,
    own_modules,
    saved_attributes,
    trees_of,
)
from caviar.engines.called.course import course_of
from caviar.engines.called.feeds import Feed
from caviar.engines.called.pretend import LIFTED, LaneTrainer
from caviar.engines.called.refusals import check_module, data_hooks, overridden
from caviar.engines.called.results import Computed, Results, as_tensor, meta_of
from caviar.engines.called.seeds import Draws, drawing, seeded
from caviar.engines.called.steppers import Layout, Stepper, structure_of
from caviar.engines.called.template import loss_of
from caviar.engines.experiment import Called, NotFusibleError
from caviar.engines.progress import Progress, lightning_checkpoint

EVERY_STEPS = 50
"""Steps between two looks at the loss, as the callback has it that guards against NaN."""


@dataclass(frozen=True)
class Length:
    """How long an epoch is: ``batches``, and ``steps`` of the optimizer."""

    batches: int
    steps: int


class CalledTraining(Progress):
    """A trial while it trains on a lane that calls its module.

    Args:
        called: what it is.

    Attributes:
        recipe: the same, as `Training` calls it.
        module: its own, whose parameters are views of its stack's while it is on a lane.
        optimizer: its own, as `configure_optimizers` made it.
        key: trainings with the same one may share a stack.
        best: all tensors of its module at its best epoch.

    Raises:
        NotFusibleError: it cannot be a lane.
        Exception: what its code says of its settings.
    """

    def __init__(self, called: Called) -> None:
        self.recipe = called
        self.experiment = experiment = called.make()
        self.course = course_of(experiment.trainer)
        super().__init__(called, double=self.course.dtype == torch.float64)
        self.module: Any = experiment.module
        check_module(self.module)
        if self.course.dtype == torch.float64:
            self.module.double()
        self.trainer = LaneTrainer(self.course)
        self.draws = Draws(called.seed)
        with seeded(called.seed):
            self._set_up(experiment.data)
        self.layout = Layout.of(
            {id(own): name for name, own in self.module.named_parameters()}, self.optimizer
        )
        self.metrics_of_module = metrics_of(self.module)
        self.best: dict[str, Tensor] | None = None
        self.saved_state: dict[str, Any] | None = None
        self.metric_buffers = {
            f"{name}.{inner}"
            for name, metric in self.metrics_of_module.items()
            for inner, _ in metric.named_buffers()
        }
        self.stepper: Stepper | None = None
        self.place = 0
        self.error: BaseException | None = None
        self._parts = dict(self.module.named_modules())
        self._own = list(own_modules(self.module).values())
        self._parameters = list(self.module.parameters())
        self._tensors = [*self.module.named_parameters(), *self.module.named_buffers()]
        self._signed: tuple[frozenset[Leaf], Hashable] | None = None
        self.trees = trees_of(self.module)
        self._results: Results | None = None
        self._hook = ""
        vars(self.module)["log"] = self._log
        self.starting, self.validation = Results(), Results()
        self.hooked = [
            name
            for name in ("on_train_epoch_start", "on_train_epoch_end", "on_validation_start",
                         "on_validation_epoch_start", "on_validation_epoch_end", "on_validation_end")
            if overridden(self.module, name)
        ]  # fmt: skip
        self.key: Hashable = self._key()

    def _set_up(self, data: Any) -> None:
        """What a Trainer does before the first epoch."""
        module, trainer, course = self.module, self.trainer, self.course
        trainer.datamodule, trainer.lightning_module = data, module
        module._trainer = trainer
        data.trainer = trainer
        data.prepare_data()
        data.setup("fit")
        for name in ("setup", "configure_model", "configure_sharded_model"):
            if hasattr(module, name):
                getattr(module, name)(*(("fit",) if name == "setup" else ()))
        hooks, seed = data_hooks(module, data), self.recipe.seed
        loader = data.train_dataloader()
        self.train = Feed(_one(loader, "train"), course.limits[0], seed, course.dtype, hooks)
        trainer.train_dataloader = loader
        trainer.counted(self.train.batches, course)
        self.length = Length(self.train.batches, math.ceil(self.train.batches / course.accumulate))
        try:
            optimizers, self.schedulers = optimizers_of(module)
        except MisconfigurationException as error:
            raise NotFusibleError(f"configure_optimizers: {error}") from error
        if len(optimizers) != 1:
            raise NotFusibleError("several optimizers")
        self.optimizer: torch.optim.Optimizer = optimizers[0]
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise NotFusibleError("torch.optim.LBFGS, which calls the step several times")
        trainer.optimizers, trainer.lr_scheduler_configs = optimizers, self.schedulers
        self.val: Feed | None = None
        if overridden(module, "validation_step"):
            loader = data.val_dataloader()
            self.val = Feed(_one(loader, "val"), course.limits[1], None, course.dtype, hooks)
            trainer.val_dataloaders = loader
            trainer.num_val_batches = [self.val.batches]
        self.call("on_fit_start")
        self.call("on_train_start")

    def _key(self) -> Hashable:
        module, course = self.module, self.course
        kinds = tuple((name, type(part)) for name, part in own_modules(module).items())
        tensors = tuple(
            (name, own.shape, own.dtype)
            for name, own in (*module.named_parameters(), *module.named_buffers())
        )
        return (
            "called", kinds, tensors, tuple(self.layout.places), self.layout.groups,
            structure_of(self.optimizer), tuple(self.metrics_of_module),
            course.val_every, course.log_every, course.accumulate, course.dtype, course.mixed,
            course.norm is None, course.value is None,
            self.train.shape, self.val and self.val.shape,
        )  # fmt: skip

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
        self.module._current_fx_name = hook
        with drawing(self.draws), _Default(self.course.dtype):
            getattr(self.module, hook)()
        self._results, self.module._current_fx_name = None, None

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

    def step_alone(self, batch: Any) -> Tensor:
        """A training step by the module itself, backward too, for a rehearsal; its loss."""
        self._hook, self._results = "training_step", Results()
        arguments = (batch, 0)[: len(signature(self.module.training_step).parameters)]
        mixed = torch.autocast("cpu", torch.bfloat16, enabled=self.course.mixed)
        with drawing(self.draws), _Default(self.course.dtype), mixed:
            out = self.module.training_step(*arguments)
            loss = loss_of(out)
            (loss / self.course.accumulate).backward()
        self._results = None
        return loss.detach()

    def shared(self) -> list[Any]:
        """What copies of it may have in common."""
        trainer = self.trainer
        loaders = trainer.train_dataloader, trainer.val_dataloaders
        return [self.recipe, self.experiment, self.train, self.val, trainer.datamodule, *loaders]

    @property
    def source(self) -> str:
        """What its module's file says: another text may take another time."""
        try:
            return inspect.getsource(inspect.getmodule(type(self.module)) or type(self.module))
        except (OSError, TypeError):
            return ""

    def read_attributes(self) -> None:
        """Look again at what its module keeps in attributes."""
        self.trees, self._signed = trees_of(self.module), None

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
        if self.improved:
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
            self.improved = False
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

    def signature(self, pinned: frozenset[Leaf]) -> Hashable:
        """Trainings of a key with the same one can share steps.

        Args:
            pinned: numbers that steps take as they are.
        """
        modes = tuple(part.training for part in self._own)
        grads = tuple(own.requires_grad for own in self._parameters)
        values = tuple(
            getattr(self.trainer, leaf[1])
            for leaf in sorted(pinned, key=repr)
            if not leaf[0] and leaf[1] in LIFTED
        )
        if self._signed is None or self._signed[0] != pinned:
            signed = tuple(
                (place, tree.spec, tree.paths, tuple(
                    _kind(leaf, (*place, path) in pinned)
                    for path, leaf in zip(tree.paths, tree.leaves, strict=True)
                ))
                for place, tree in self.trees.items()
            )  # fmt: skip
            self._signed = pinned, signed
        return modes, grads, values, self._signed[1]

    def weights(self) -> dict[str, Tensor]:
        """Its state dict as it stands, copied."""
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def checkpoint(self) -> dict[str, Any]:
        """What Lightning's ``load_from_checkpoint`` reads: the module at its best epoch."""
        assert self.best is not None
        assert self.best_epoch is not None
        step = (self.best_epoch + 1) * self.length.steps
        hyper_parameters = dict(self.module.hparams)
        found = lightning_checkpoint(self.best, "", hyper_parameters, self.best_epoch, step)
        self.module.on_save_checkpoint(found)
        return found

    def save(self) -> dict[str, Any]:
        """All that it takes to go on with it later, as plain values and tensors."""
        stepper = self.saved_state if self.stepper is None else self.stepper.save(self.place)
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        return {
            "training": {**self.state(), "global_step": self.trainer.global_step},
            "tensors": {
                "module": {name: own.detach().clone() for name, own in self._tensors},
                "best": self.best,
                "stepper": stepper,
                "groups": groups,
                "schedulers": [one.scheduler.state_dict() for one in self.schedulers],
                "attributes": saved_attributes(self.module, self.trees),
            },
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `save` gave.

        Raises:
            Exception: it is not of such a training.
        """
        tensors = saved["tensors"]
        self.load_state(saved["training"])
        self.trainer.current_epoch = self.epoch
        self.trainer.global_step = saved["training"]["global_step"]
        self.trainer.callback_metrics = {k: torch.tensor(v) for k, v in self.metrics.items()}
        with torch.no_grad():
            for name, own in self._tensors:
                own.data = tensors["module"][name].clone()
        self.best, self.saved_state, self.stepper = tensors["best"], tensors["stepper"], None
        for group, own in zip(self.optimizer.param_groups, tensors["groups"], strict=True):
            group.update(own)
        for one, own in zip(self.schedulers, tensors["schedulers"], strict=True):
            one.scheduler.load_state_dict(own)
        for metric in self.metrics_of_module.values():
            metric.reset()
        load_attributes(self.module, tensors["attributes"])
        self.read_attributes()
        self.error = None


def _one(loader: Any, part: str) -> Any:
    if isinstance(loader, list | tuple) and len(loader) == 1:
        return loader[0]
    if isinstance(loader, list | tuple | Mapping):
        raise NotFusibleError(f"{part}_dataloader() gives several")
    return loader


def _is_metric(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "compute")


def _kind(leaf: Any, pinned: bool) -> Hashable:
    if isinstance(leaf, Tensor):
        return (leaf.shape, leaf.dtype)
    return (type(leaf), leaf) if pinned else type(leaf)


class _Default:
    """torch's type of new numbers, in a block."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self._before)
