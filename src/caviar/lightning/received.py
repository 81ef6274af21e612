"""What a run folder that somebody else may have written can have made of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from caviar.base.errors import usage_error
from caviar.base.security import check_only, check_targets, find_target


def check_received(config: DictConfig) -> None:
    """Raise UsageError unless data, model and task are classes of their kinds, and allowed.

    A model is a module of torch's, a task a LightningModule, data a data module or a class that gives one;
    what stands among their arguments are classes of these kinds, optimizers, schedules and metrics.
    """
    from lightning.pytorch import LightningDataModule, LightningModule
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torchmetrics import Metric

    for name in ("data", "model", "task", "optimizer", "scheduler", "metrics"):
        check_targets(config.get(name))
    check_only(config.model, nn.Module, Optimizer, LRScheduler, Metric)
    if config.get("task"):
        check_only(config.task, LightningModule)
    kind = find_target(config.data, "data")
    gives = isinstance(kind, type) and hasattr(kind, "datamodule")
    if not gives:
        check_only(config.data, LightningDataModule)
        return
    inner: Any = OmegaConf.to_container(config.data, resolve=True)
    assert isinstance(inner, Mapping)
    for key, value in inner.items():
        if isinstance(value, Mapping | list) and "_target_" in str(value):
            raise usage_error(f"data.{key}", value, "a received run's data name no other class")
