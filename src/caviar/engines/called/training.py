"""One trial on its lane, by its own LightningModule: all that concerns it alone, epoch after epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from caviar.base.private import attach, optimizers_of
from caviar.engines.called import saving
from caviar.engines.called.attributes import (
    Leaf,
    metrics_of,
    own_modules,
    trees_of,
)
from caviar.engines.called.callbacks import Callbacks
from caviar.engines.called.changes import loss_of
from caviar.engines.called.course import DefaultType, course_of
from caviar.engines.called.epochs import Epochs, Length
from caviar.engines.called.feeds import Feed
from caviar.engines.called.layout import Layout, structure_of
from caviar.engines.called.pretend import LIFTED, LaneTrainer
from caviar.engines.called.refusals import check_hooks, check_module, data_hooks, overridden
from caviar.engines.called.results import Results
from caviar.engines.called.seeds import Draws, drawing, seeded
from caviar.engines.called.steppers import Stepper
from caviar.engines.called.structure import Structure
from caviar.engines.experiment import Called, NotFusibleError


class CalledTraining(Epochs):
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
        self.callbacks = Callbacks(called.callbacks())
        self._named: list[tuple[str, Tensor]] | None = None
        self.trainer = LaneTrainer(self.course)
        self.draws = Draws(called.seed)
        self.stepper: Stepper | None = None
        self.place = 0
        self.saved_state: dict[str, Any] | None = None
        vars(self.module)["log"] = self._log
        with seeded(called.seed, gpu=False):
            self._set_up(experiment.data)
        self.layout = Layout.of(
            {id(own): name for name, own in self.module.named_parameters()}, self.optimizer
        )
        self.metrics_of_module = metrics_of(self.module)
        self.metric_buffers = _metric_buffers(self.module)
        self._parts = dict(self.module.named_modules())
        self._own = list(own_modules(self.module).values())
        self._parameters = list(self.module.parameters())
        self.structure = Structure(self.module, self.trainer.optimizers, self.schedulers)
        self.tensors = self.structure.tensors
        self._named = self.named_tensors()
        self._signed: tuple[frozenset[Leaf], Hashable] | None = None
        self.trees = trees_of(self.module)
        self.hooked = self.callbacks.hooks | {
            name
            for name in ("on_train_epoch_start", "on_train_epoch_end", "on_validation_start",
                         "on_validation_epoch_start", "on_validation_epoch_end", "on_validation_end")
            if overridden(self.module, name)
        }  # fmt: skip
        check_hooks(self.module)
        self.callbacks.check()  # what could not be put back is told before it trains
        self.key: Hashable = self._key()

    def _set_up(self, data: Any) -> None:
        """What a Trainer does before the first epoch."""
        module, trainer, course = self.module, self.trainer, self.course
        trainer.datamodule, trainer.lightning_module = data, module
        attach(module, trainer)
        data.trainer = trainer
        data.prepare_data()
        data.setup("fit")
        self.call("setup")
        for name in ("configure_model", "configure_sharded_model"):
            if hasattr(module, name):
                getattr(module, name)()
        if course.dtype == torch.float64:
            module.double()
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

    def named_tensors(self) -> list[tuple[str, Tensor]]:
        """The parameters and the buffers of its module, but for those of metrics."""
        if self._named is not None:
            return self._named
        metrics = _metric_buffers(self.module)
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        return [(name, own) for name, own in named if name not in metrics]

    @property
    def steps_elsewhere(self) -> bool:
        return self.saved_state is not None or (
            self.stepper is not None and self.stepper.is_stacked
        )

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
            self.train.shape, self.val and self.val.shape, self.callbacks.kind,
        )  # fmt: skip

    def step_alone(self, batch: Any) -> Tensor:
        """A training step by the module itself, backward too, for a rehearsal; its loss."""
        with self._alone("training_step"):
            loss = loss_of(self.module.training_step(*self._given("training_step", batch)))
            (loss / self.course.accumulate).backward()
        return loss.detach()

    def validate_alone(self, batch: Any) -> None:
        """A validation step by the module itself, for a rehearsal."""
        with self._alone("validation_step"), torch.no_grad():
            self.module.validation_step(*self._given("validation_step", batch))

    @contextmanager
    def _alone(self, hook: str) -> Iterator[None]:
        self._hook, self._results = hook, Results()
        mixed = torch.autocast(self.course.device, torch.bfloat16, enabled=self.course.mixed)
        with drawing(self.draws), DefaultType(self.course.dtype), mixed:
            yield
        self._results = None

    def _given(self, hook: str, batch: Any) -> tuple[Any, ...]:
        return (batch, 0)[: len(signature(getattr(self.module, hook)).parameters)]

    def shared(self) -> list[Any]:
        """What copies of it may have in common."""
        trainer = self.trainer
        loaders = trainer.train_dataloader, trainer.val_dataloaders
        own = [self.recipe, self.experiment, self.train, self.val, trainer.datamodule, *loaders]
        return [*own, *self.callbacks.own]

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

    checkpoint, save, load = saving.checkpoint, saving.save, saving.load


def _metric_buffers(module: Any) -> set[str]:
    return {
        f"{name}.{inner}"
        for name, metric in metrics_of(module).items()
        for inner, _ in metric.named_buffers()
    }


def _one(loader: Any, part: str) -> Any:
    if isinstance(loader, list | tuple) and len(loader) == 1:
        return loader[0]
    if isinstance(loader, list | tuple | Mapping):
        raise NotFusibleError(f"{part}_dataloader() gives several")
    return loader


def _kind(leaf: Any, pinned: bool) -> Hashable:
    if isinstance(leaf, Tensor):
        return (leaf.shape, leaf.dtype)
    return (type(leaf), leaf) if pinned else type(leaf)
