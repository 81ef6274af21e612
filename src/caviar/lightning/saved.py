"""A finished run, opened again: module and data made anew from its config, and its tensors read in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from caviar.base.errors import UsageError, name_and_text, usage_error
from caviar.base.security import allow, check_only, check_targets, find_target
from caviar.lightning.making import make_data, make_module
from caviar.lightning.tensors import load_weights, read_weights
from caviar.runs.config import read_config
from caviar.runs.folder import CONFIG, Result
from caviar.runs.ours import is_signed
from caviar.runs.places import inside, landed


@dataclass(frozen=True)
class SavedRun:
    """What a run left.

    Attributes:
        module: the module at its best epoch, on the CPU, ready to evaluate.
        data: its data; where only predictions are wanted, what its class knows of them unread.
        config: what it was trained with; what led to a secret is not resolved in it.
    """

    folder: Path
    result: Result
    config: DictConfig
    module: LightningModule
    data: Any


def open_run(path: str | Path, read_data: bool = False) -> SavedRun:
    """Read the run in the folder ``path``.

    Args:
        read_data: make its data too, also where the module can do without.

    Raises:
        UsageError: it is not a run folder, has no checkpoint that can be read, its config names what may
            not be made, or its data are not what it was trained on.
    """
    folder = landed(Path(path).absolute())
    result = Result.read(folder)
    checkpoint = _checkpoint(folder, result)
    config = read_config(folder)
    try:
        if is_signed(folder, CONFIG):
            allow(config.get("allow"))  # as this user had allowed it when it was trained
        else:
            _check_received(config)  # anybody may have written it
        check_targets(config.get("data"))
        kind = find_target(config.get("data"), "data")
        known = hasattr(kind, "saved") and not read_data
        data = kind.saved(folder) if known else make_data(config)
        # The rows of the test part follow from the data: other data could have trained on them.
        if read_data and hasattr(data, "changed_since") and data.changed_since(folder):
            raise UsageError("its data has changed since it was trained")
        module = make_module(config, data)
        load_weights(module, read_weights(checkpoint))
    except OmegaConfBaseException as error:
        raise UsageError(f"run={folder}: {CONFIG}: {' '.join(str(error).split())}") from None
    except UsageError as error:
        raise UsageError(f"run={folder}: {error}") from error
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        why = f"cannot be made from its {CONFIG} ({name_and_text(error)})"
        raise UsageError(f"run={folder}: {why}") from error
    return SavedRun(folder, result, config, module.eval(), data)


def _check_received(config: DictConfig) -> None:
    """Raise UsageError unless data, model and task are classes of their kinds, and allowed.

    A model is a module of torch's, a task a LightningModule, data a data module or a class that gives one;
    what stands among their arguments are classes of these kinds, optimizers, schedules and metrics.
    """
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


def _checkpoint(folder: Path, result: Result) -> Path:
    folds = result.facts.get("folds")
    if folds:
        many = len(folds) if isinstance(folds, list) else "many"
        why = f"it is {many} models, one a fold; train one without data.folds, or test all by test=true"
        raise UsageError(f"run={folder}: {why}")
    if result.checkpoint is None:
        raise UsageError(f"run={folder}: it kept no checkpoint (state {result.state})")
    path = inside(folder, result.checkpoint)
    if path is None:
        raise UsageError(f"run={folder}: its checkpoint {result.checkpoint} lies outside it")
    if not path.is_file():
        raise UsageError(f"run={folder}: its checkpoint {result.checkpoint} is gone")
    return path
