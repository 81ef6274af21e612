"""What the fused engine asks for: a training as plain settings, made in well under a millisecond.

It describes the same training as `project.train.build` does, where that is as it ships; tests hold the
two together. What is not as it ships, or not known to lanes, is handed over built: lanes call it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from torch import nn
from torch.optim import Optimizer

import caviar
from caviar.base.configs import Configs, value_at
from caviar.base.objectives import first
from caviar.base.rules import check_settings
from caviar.base.security import check_target
from caviar.engines.shipped import changed
from caviar.lightning.batches import epoch_order
from caviar.lightning.folds import check_distinct
from caviar.lightning.in_memory.data import InMemoryData
from caviar.lightning.lane_callbacks import (
    STOPPING,
    known_callbacks,
    made_callbacks,
    other_callbacks,
)
from caviar.lightning.lane_loggers import logger_settings, loggers_of
from caviar.lightning.making import scored, takes
from caviar.lightning.optimizers import torch_settings
from caviar.lightning.schedulers import Length, Schedule
from caviar.lightning.seeding import seeded
from caviar.lightning.shared_data import sharing_data
from project.check import RULES

_TASK = f"{__name__.partition('.')[0]}.classifier.Classifier"
_HERE = Path(__file__).resolve().parent
_configs = Configs()


def recipe(config: Mapping[str, Any]) -> caviar.Recipe | caviar.Called | caviar.Folds:
    """The training that ``config``, plain and resolved, describes; with ``data.folds``, its trainings.

    Raises:
        NotFusibleError: something in it takes a Lightning Trainer.
        UsageError: a setting that cannot work.
    """
    given = {key: value_at(config, key) for key in RULES}
    check_settings({key: value for key, value in given.items() if value is not None}, RULES)
    _check_fusible(config)
    data = config["data"]
    folds = data.get("folds")
    if folds is None:
        return _training(config)
    _check_distinct(json.dumps(data, default=str))
    each_fold = ({**config, "data": {**data, "fold": fold}} for fold in range(folds))
    return caviar.Folds([_training(one) for one in each_fold])


def _training(config: Mapping[str, Any]) -> caviar.Recipe | caviar.Called:
    data = _data(config["data"])
    if data is None or not _is_shipped(config) or other_callbacks(config):
        return _called(config, data)
    preprocessing = data.parts.preprocessing
    if preprocessing.number is not None or preprocessing.labels:
        return _called(config, data)  # which the classifier refuses
    return _recipe(config, data)


def _is_shipped(config: Mapping[str, Any]) -> bool:
    """Whether a training is the classifier's as it ships, of which a `Recipe` says all."""
    if (config.get("task") or {}).get("_target_") != _TASK or changed(_HERE):
        return False
    model = config["model"]
    if any(kind.__name__ == "LightningModule" for kind in _known(model["_target_"]).__mro__):
        return False
    if set(model.get("loss") or {}) - {"label_smoothing", "class_weights"}:
        return False
    targets = [metric["_target_"] for metric in (config.get("metrics") or {}).values()]
    return all(
        # These are not imported to be asked.
        target.startswith("torchmetrics.classification.Multiclass")
        or takes(_known(target), "num_classes")
        for target in targets
    )


def _called(config: Mapping[str, Any], data: InMemoryData | None) -> caviar.Called:
    """The training as `project.train.build` makes it, for lanes that call what they train."""
    from project.train import build

    if data is None and hasattr(_known(config["data"]["_target_"]), "files"):
        raise caviar.NotFusibleError("data: a Trainer keeps its files() in the run folder")

    def make() -> caviar.Experiment:
        with sharing_data():
            return build(_configs(config))

    return caviar.Called(
        make=make,
        files=data.parts.files if data is not None else {},
        callbacks=lambda: made_callbacks(config),
        **_of_a_lane(config),
    )


def _of_a_lane(config: Mapping[str, Any]) -> dict[str, Any]:
    """What any training on a lane says of its score, its end, and what is kept of it."""
    callbacks = known_callbacks(config)
    stopping = callbacks.get(STOPPING)
    return {
        **scored(config),
        "nan_guard": "nan_guard.NanGuard" in callbacks,
        "early_stopping": caviar.EarlyStopping(**stopping) if stopping else None,
        "checkpoint": "checkpoint.BestAndLast" in callbacks,
        "loggers": loggers_of if logger_settings(config) else None,
    }


def _recipe(config: Mapping[str, Any], data: InMemoryData) -> caviar.Recipe:
    model = dict(config["model"])
    loss = dict(model.pop("loss", None) or {})
    loss["class_weights"] = data.class_weights(loss.get("class_weights"))
    network = {**model, "in_features": data.num_features, "num_classes": data.num_classes}
    data.check_batches(
        lambda: _network(network, config["seed"]), config["trainer"].get("limit_train_batches")
    )
    optimizer, decay_all = torch_settings(config["optimizer"])
    return caviar.Recipe(
        network=lambda: _network(network, config["seed"]),
        architecture=json.dumps(network, default=str),
        redraw=lambda made: _redraw(made, config["seed"]),
        train=data.parts.train,
        val=data.parts.val,
        batch_size=data.batch_size,
        eval_batch_size=data.eval_batch_size,
        drop_last=data.drop_last,
        order=epoch_order,
        optimizer=optimizer,
        decay_all=decay_all,
        schedule=_schedule(config),
        trainer=config["trainer"],
        metrics=config.get("metrics") or {},
        hyper_parameters={
            "network": network,
            "optimizer": config["optimizer"],
            "scheduler": config.get("scheduler"),
            "metrics": config.get("metrics"),
            **loss,
            "metric": first(config["metric"]),
            "direction": first(config["direction"]),
        },
        files=data.parts.files,
        called=lambda: _called(config, data),
        **_of_a_lane(config),
        **loss,
    )


def _check_fusible(config: Mapping[str, Any]) -> None:
    if file := changed(_HERE, around=True):
        raise caviar.NotFusibleError(f"{file} gives its Trainer something else than lanes know of")
    for key in ("test", "compile"):
        if config.get(key):
            raise caviar.NotFusibleError(f"{key}=true")
    loggers = logger_settings(config)
    if loggers and (config.get("data") or {}).get("folds"):
        raise caviar.NotFusibleError(f"logger.{min(loggers)} with data.folds")
    if config.get("ckpt_path") or not config.get("train", True):
        raise caviar.NotFusibleError("ckpt_path")


@cache
def _known(target: str) -> Callable[..., Any]:
    check_target(target)
    return get_object(target)


def _make(settings: Mapping[str, Any]) -> Any:
    """What `caviar.instantiate` makes of plain settings, in a hundredth of its time."""
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    if "_target_" in str(arguments):
        return caviar.instantiate(settings)
    return _known(settings["_target_"])(**arguments)


def _network(settings: Mapping[str, Any], seed: int) -> nn.Module:
    with seeded(seed, gpu=False):
        return _make(settings)


def _redraw(network: nn.Module, seed: int) -> None:
    with seeded(seed, gpu=False):
        for layer in network.modules():
            if isinstance(reset := getattr(layer, "reset_parameters", None), Callable):
                reset()


def _schedule(config: Mapping[str, Any]) -> Callable[[Optimizer, int, int], list[Any]] | None:
    settings = config.get("scheduler")
    schedule: Schedule = _make(settings) if settings else Schedule()
    if schedule.constant:
        return None
    return lambda optimizer, steps, epoch_steps: schedule.attach(
        optimizer, Length(steps, epoch_steps), first(config["metric"]), first(config["direction"])
    )


_datasets: dict[str, InMemoryData] = {}
_MOST_DATASETS = 8


def _data(given: Mapping[str, Any]) -> InMemoryData | None:
    """The data of these settings that are in memory, made and read once; None of other data."""
    target = _known(given["_target_"])
    if not (isinstance(target, type) and issubclass(target, InMemoryData)):
        return None
    settings = json.dumps(given, default=str)
    if settings not in _datasets:
        data = caviar.instantiate(json.loads(settings))
        _ = data.parts  # read now: what is wrong with it is known before anything trains
        while len(_datasets) >= max(_MOST_DATASETS, data.folds or 0):
            _datasets.pop(next(iter(_datasets)))
        _datasets[settings] = data
    return _datasets[settings]


@cache
def _check_distinct(settings: str) -> None:
    """Refuse the folds of data, of which these are the settings as JSON; each once in a process."""
    given = json.loads(settings)
    data = [_data({**given, "fold": fold}) for fold in range(given["folds"])]
    if None in data:
        raise caviar.NotFusibleError(
            "data.folds: a Trainer asks other data than the template's for them"
        )
    parts = (one.parts.val[0].numpy().tobytes() for one in data if one is not None)
    check_distinct(len(data), parts)
