"""What a module on a lane finds where its Trainer would be."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from caviar.engines.called.course import Course
from caviar.engines.experiment import NotFusibleError

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
        self.callback_metrics: dict[str, Any] = {}
        self.logged_metrics: dict[str, Any] = {}
        self.progress_bar_metrics: dict[str, Any] = {}
        self.datamodule: Any = None
        self.lightning_module: Any = None
        self.optimizers: list[Any] = []
        self.lr_scheduler_configs: list[Any] = []
        self.train_dataloader: Any = None
        self.val_dataloaders: Any = None
        self.callbacks: list[Any] = []
        self.fit_loop = SimpleNamespace(setup_data=lambda: None, max_epochs=course.max_epochs)
        self.strategy = SimpleNamespace(root_device=_cpu(), barrier=lambda name=None: None)

    def counted(self, batches: int, course: Course) -> None:
        """Take in how many batches an epoch has."""
        self.num_training_batches = batches
        steps = math.ceil(batches / course.accumulate)
        self.estimated_stepping_batches = steps * course.max_epochs

    @property
    def is_last_batch(self) -> bool:
        """Not known on lanes: raises NotFusibleError."""
        raise NotFusibleError("trainer.is_last_batch: lanes do not know it")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotFusibleError(f"trainer.{name}, which its code asks for, is not there on a lane")


def _cpu() -> Any:
    import torch

    return torch.device("cpu")
