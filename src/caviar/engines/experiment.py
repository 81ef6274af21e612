"""What a project hands to an engine: everything one training needs, and nothing of how it is run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caviar.base.scoring import BEST

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule
    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Experiment:
    """One training, built from a config.

    Attributes:
        module: the network with its loss, metrics, optimizer and scheduler.
        data: where the batches come from.
        trainer: keyword arguments of `lightning.pytorch.Trainer` (``max_epochs``, ``precision``, …).
        metric: the logged metric that is the score (``val/acc``).
        direction: ``maximize`` or ``minimize``.
        seed: the training seed: initialisation, shuffling and dropout follow from it.
        also: further metrics that are scores, each of the same epochs as ``metric``.
        score: which epochs these are: ``best``, ``last``, or ``last5`` for the mean of the last five.
    """

    module: LightningModule
    data: LightningDataModule
    trainer: Mapping[str, Any]
    metric: str
    direction: str
    seed: int
    also: Sequence[str] = ()
    score: str = BEST

    @property
    def objectives(self) -> list[str]:
        """Every metric that is a score, ``metric`` first."""
        return [self.metric, *self.also]


class NotFusibleError(Exception):
    """Why a training cannot be a lane of a stack; the solo engine trains it instead."""


@dataclass(frozen=True)
class Folds:
    """A trial that is several trainings, and whose score is their mean: k-fold cross-validation.

    Attributes:
        recipes: one a fold, in order; all with the same metric, direction and seed.
    """

    recipes: Sequence[Recipe | Called]


@dataclass(frozen=True)
class EarlyStopping:
    """When a training ends before its last epoch: see Lightning's callback of that name."""

    metric: str
    direction: str
    patience: int
    min_delta: float = 0.0


@dataclass(frozen=True)
class Logged:
    """A training that has ended on a lane, for its loggers.

    Attributes:
        config: the text of its ``config.yaml``.
        logged: metrics and their step, in the order in which a Trainer's loggers get them.
        complete: it had all its epochs; else it failed, or was pruned or interrupted.
        module, data: the LightningModule and the LightningDataModule, where lanes had them.
    """

    config: str
    logged: Sequence[tuple[Mapping[str, float], int]]
    complete: bool
    module: Any = None
    data: Any = None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """How a training on a lane is scored, when it ends, and what is kept of it.

    Attributes:
        metric, direction: what is the score, and what is better for it.
        also, score: further metrics that are scores, and of which epochs: see `Experiment`.
        seed: of initialisation, shuffling and what is drawn in steps.
        nan_guard: fail at a loss that is not finite; else at a score that is NaN.
        early_stopping: ends the training early.
        checkpoint: whether the best weights are kept.
        files: what else goes into the run folder, name -> text.
        loggers: the config, plain and resolved, as it is in the trial's folder -> what gives its loggers
            all that it has logged; None where there are none.
    """

    metric: str
    direction: str
    seed: int
    also: Sequence[str] = ()
    score: str = BEST
    nan_guard: bool = True
    early_stopping: EarlyStopping | None = None
    checkpoint: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    loggers: Callable[[Mapping[str, Any]], Callable[[Logged], None]] | None = None

    @property
    def objectives(self) -> list[str]:
        """Every metric that is a score, ``metric`` first."""
        return [self.metric, *self.also]


@dataclass(frozen=True)
class Called(Scored):
    """One training whose own code lanes call: the module's steps, its hooks, its optimizer.

    Attributes:
        make: builds it, as a Trainer would get it, anew each time: a lane changes what it is given.
        callbacks: makes its other callbacks, anew each time: their names in the config, in its order. An
            `EarlyStopping` among them marks the place of ``early_stopping``.
    """

    make: Callable[[], Experiment]
    callbacks: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class Recipe(Scored):
    """One training as plain settings: what the fused engine puts on a lane, where solo runs a Trainer.

    Attributes:
        network: makes the network, initialised as ``seed`` says; it maps ``(batch, …)`` to logits
            ``(batch, num_classes)``.
        architecture: what, beside ``seed``, that network follows from; None where that is not known.
        redraw: gives a network of this architecture the weights that ``network`` would give it; where
            it does not, or is not there, each trial's network is made anew, which takes longer.
        train, val: features ``(samples, …)`` and classes ``(samples,)``. Recipes over the same data
            hold the same tensors, never changed in place.
        batch_size: samples a training batch.
        eval_batch_size: samples a batch of validation.
        drop_last: leave out a last training batch that is not full.
        order: ``(samples, seed, epoch)`` -> the order of the training samples in that epoch.
        label_smoothing, class_weights: of the cross-entropy.
        optimizer: ``_target_`` in `torch.optim` and its arguments.
        decay_all: whether weight decay shrinks parameters of one dimension too.
        schedule: ``(optimizer, steps, steps an epoch)`` -> Lightning's ``lr_scheduler`` settings.
        metrics: name -> ``_target_`` and arguments of a torchmetrics metric on probabilities.
        trainer: arguments of the Lightning Trainer.
        hyper_parameters: of the module, for its checkpoint; ``prefix`` is its name for the network.
        called: the same training as one whose code is called, for what lanes do not know of it.
    """

    network: Callable[[], nn.Module]
    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    batch_size: int
    eval_batch_size: int
    drop_last: bool
    order: Callable[[int, int, int], Tensor]
    optimizer: Mapping[str, Any]
    trainer: Mapping[str, Any]
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    decay_all: bool = False
    schedule: Callable[[Optimizer, int, int], list[dict[str, Any]]] | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    architecture: Hashable = None
    redraw: Callable[[nn.Module], None] | None = None
    hyper_parameters: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = "network."
    called: Callable[[], Called] | None = None
