"""What a module on a lane finds where its Trainer would be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from lightning.pytorch.trainer.states import TrainerFn

from caviar.engines.called.course import Course
from caviar.engines.experiment import NotFusibleError
from caviar.runs.active import ActiveRun

LIFTED = ("current_epoch", "global_step", "max_epochs", "estimated_stepping_batches")
"""What steps may ask for, and lanes may differ in."""


class LaneTrainer:
    """Answers what hooks, steps and `configure_optimizers` ask a Trainer for; what it cannot, it names.

    Args:
        course: how the training goes.

    Attributes:
        state: the training's own: what changes as it goes on.
    """

    barebones = fast_dev_run = sanity_checking = testing = predicting = evaluating = False
    overfit_batches = 0.0
    world_size = num_devices = num_nodes = 1
    global_rank = local_rank = node_rank = 0
    is_global_zero = True
    max_steps = -1
    min_epochs = min_steps = None
    should_stop = interrupted = False
    device_ids = (0,)
    val_check_interval = 1.0
    is_lent = False

    def __init__(self, course: Course) -> None:
        self.max_epochs = course.max_epochs
        self.accumulate_grad_batches = course.accumulate
        self.check_val_every_n_epoch = course.val_every
        self.gradient_clip_val = course.norm if course.norm is not None else course.value
        self.log_every_n_steps = course.log_every
        self.limit_train_batches, self.limit_val_batches = course.limits
        self.current_epoch: Any = 0
        self.global_step: Any = 0
        self.training = self.validating = False
        self.num_training_batches = 0
        self.num_val_batches = [0]
        self.estimated_stepping_batches: Any = 0
        self.known_metrics: dict[str, Any] = {}
        self.known_logged: dict[str, Any] = {}
        self.look: Callable[[], None] = nothing
        self.datamodule: Any = None
        self.lightning_module: Any = None
        self.optimizers: list[Any] = []
        self.lr_scheduler_configs: list[Any] = []
        self.train_dataloader: Any = None
        self.val_dataloaders: Any = None
        self.state = _Part("state", fn=TrainerFn.FITTING)
        self.fit_loop = _Part("fit_loop", setup_data=nothing, max_epochs=course.max_epochs)
        self.strategy = _Part(
            "strategy",
            root_device=torch.device("cpu"),
            barrier=lambda name=None: None,
            reduce_boolean_decision=lambda decision, all=True: decision,
        )

    def counted(self, batches: int, course: Course) -> None:
        """Take in how many batches an epoch has."""
        self.num_training_batches = batches
        steps = math.ceil(batches / course.accumulate)
        self.estimated_stepping_batches = steps * course.max_epochs

    @property
    def callback_metrics(self) -> dict[str, Any]:
        """What has been logged, with what the epoch has come to so far."""
        self.look()
        return self.known_metrics

    @property
    def logged_metrics(self) -> dict[str, Any]:
        """The same, of what loggers are told."""
        self.look()
        return self.known_logged

    @property
    def is_last_batch(self) -> bool:
        """Not known on lanes: raises NotFusibleError."""
        raise NotFusibleError("trainer.is_last_batch: lanes do not know it")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _missing(f"trainer.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if self.is_lent and name != "should_stop":
            raise NotFusibleError(f"its code sets trainer.{name}: a lane goes on as it is set")
        object.__setattr__(self, name, value)


class _Part:
    """A part of a Trainer, with a few of its attributes."""

    def __init__(self, part: str, **known: Any) -> None:
        vars(self).update(known, _part=part)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _missing(f"trainer.{vars(self).get('_part')}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise NotFusibleError(f"its code sets trainer.{self._part}.{name}")


class Elsewhere(dict[Any, Any]):
    """Stands for what an optimizer keeps, while that is stacked with what those of other lanes keep."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotFusibleError("it looks at an optimizer's state, which is not its own on a lane")

    __getitem__ = __iter__ = __len__ = __contains__ = get = items = keys = values = _refuse  # type: ignore[assignment]


class Nowhere(ActiveRun):
    """Stands for the run under way while a lane's own code is called: it has no folder yet, nor a task."""

    def __init__(self) -> None:
        self.outer = None

    def __getattribute__(self, name: str) -> Any:
        if name in ("dir", "facts", "listener", "resume_from", "task"):
            raise NotFusibleError(f"it speaks to the run under way, of which it asks {name}")
        return super().__getattribute__(name)


def _missing(what: str) -> NotFusibleError:
    return NotFusibleError(f"{what}, which its code asks for, is not there on a lane")


def nothing() -> None:
    """Do nothing."""
