"""What can be told of a config before anything is trained: cheap, and without torch."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from caviar import UsageError, usage_error
from caviar.base.configs import has_key
from caviar.base.objectives import each
from caviar.base.rules import (
    COUNT,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    TRAINING,
    Rule,
    at_least,
    check_settings,
    one_of,
)
from caviar.runs.folder import check_run_name
from project.choices import ACTIVATIONS, BATCH_NORM, DIRECTIONS, SHAPES

_SIZES = "must be a list of whole numbers above 0, as [64, 32], or null"

RULES: dict[str, Rule] = {
    **TRAINING,
    "data.batch_size": COUNT,
    "data.eval_batch_size": COUNT,
    "data.drop_last": FLAG,
    "data.shape": one_of(SHAPES),
    "data.split_seed": SEED,
    "data.data_seed": SEED,
    "data.samples": COUNT,
    "data.features": COUNT,
    "data.noise": NOT_NEGATIVE,
    "data.classes": at_least(2),
    "data.folds": at_least(2, "must be 2 or more, or null").or_null,
    "data.overfit": at_least(2, "must be at least 2, or null").or_null,
    "model.depth": at_least(0),
    "model.width": COUNT,
    "model.hidden": Rule(lambda value: _are_sizes(value), _SIZES, number=False, null=True),
    "model.activation": one_of(tuple(ACTIVATIONS)),
    "model.batch_norm": one_of(BATCH_NORM),
    "model.batch_norm_eps": POSITIVE,
    "scheduler.warmup_epochs": NOT_NEGATIVE,
    "scheduler.step_epochs": POSITIVE,
    "scheduler.gamma": POSITIVE,
    "scheduler.rise": SHARE,
    "scheduler.initial": NOT_NEGATIVE,
    "scheduler.final": NOT_NEGATIVE,
    "scheduler.reduce": Rule(lambda value: 0 < value < 1, "must be above 0 and below 1"),
    "scheduler.patience": at_least(0),
}

_SINGLE = {"metric": "val/acc", "direction": "maximize"}
_LESS_IS_BETTER = ("loss", "CalibrationError", "HammingDistance", "HingeLoss")
"""How the names of losses and of torchmetrics classes end that are better when they are lower."""

_PACKAGES = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}


def check(config: DictConfig, searched: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Raise UsageError, in one line, for a setting that cannot work. A sweep calls it first of all.

    A setting that ``config`` does not have is not checked, so another model may have others.

    Args:
        config: a run's, or what a sweep's trials start from.
        searched: values that a sweep may give, by key, so that a wrong end is told before it starts.
    """
    check_run_name("" if config.name is None else str(config.name))
    metrics = metric_names(config)
    _check_objectives(config, metrics)
    for key in {"metric", "direction"} & set(searched or {}):
        raise usage_error(key, "a choice", "it is what trials are compared by, the same for all")
    _check_callbacks(config, metrics)
    _check_test(config)
    in_steps = OmegaConf.select(config, "trainer.max_steps") is not None
    endless = {"trainer.max_epochs": COUNT.or_null} if in_steps else {}
    is_trial, searched = _is_trial(searched), searched or {}
    values = {
        key: OmegaConf.select(config, key)
        for key in RULES
        if has_key(config, key) and not (key in searched and _is_open(config, key))
    }
    check_settings(values, RULES | endless)
    for key, some in searched.items():
        for value in some:
            try:
                check_settings({key: value}, RULES | endless)
            except UsageError as error:
                raise UsageError(f"{error} (the space has this value)") from error
    for name, logger in (config.get("logger") or {}).items():
        package = _PACKAGES.get(str(logger and logger.get("_target_")).rpartition(".")[2])
        if package and find_spec(package) is None:
            raise usage_error("logger", name, f"needs: pip install {package}")
    for key, example in (("data.path", "houses.csv"), ("data.target", "sold")):
        if has_key(config, key) and _is_open(config, key) and key not in searched:
            raise usage_error(key, "???", f"has to be given, as in {key}={example}")
    _check_validation(config)
    if OmegaConf.select(config, "data.folds") is not None:
        _check_folds(config)
    if OmegaConf.select(config, "data.val_fraction") is not None:
        _check_data(config.data)
        if not is_trial:
            _check_table(config, searched)


def _are_sizes(hidden: Any) -> bool:
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        return False
    return all(type(size) is int and size > 0 for size in hidden)


def _check_objectives(config: DictConfig, metrics: Sequence[str]) -> None:
    """Refuse scores that nothing logs, a sweep that says it is scored otherwise, and to seek the worst."""
    for key in ("metric", "direction"):
        claimed, value = OmegaConf.select(config, f"hydra.sweeper.{key}"), config[key]
        if claimed is not None and claimed != value:
            why = f"the score is {key}={_shown(value)}; {key}=… sets both"
            raise usage_error(
                f"hydra.sweeper.{key}", _shown(claimed), why, metrics if key == "metric" else None
            )
        if isinstance(value, ListConfig) and len(value) < 2:
            why = f"one objective is written without brackets, as in {key}={_SINGLE[key]}"
            raise usage_error(key, _shown(value), why)
    names, directions = each(config.metric), each(config.direction)
    for name in names:
        if name not in metrics:
            raise usage_error("metric", name, "no such metric", metrics)
        if names.count(name) > 1:
            raise usage_error("metric", _shown(config.metric), f"{name} stands there twice")
    for direction in directions:
        if direction not in DIRECTIONS:
            raise usage_error("direction", direction, "no such choice", DIRECTIONS)
    if len(names) != len(directions):
        why = f"{len(directions)} for the {len(names)} of metric={_shown(config.metric)}"
        raise usage_error("direction", _shown(config.direction), f"{why}: one an objective")
    for metric, direction in zip(names, directions, strict=True):
        _check_direction(config, metric, direction)


def _shown(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, ListConfig) else str(value)


def _check_direction(config: DictConfig, metric: str, direction: str) -> None:
    made_by = (config.get("metrics") or {}).get(metric.removeprefix("val/")) or {}
    names = (metric, str(made_by.get("_target_")))
    if direction == "maximize" and any(name.endswith(_LESS_IS_BETTER) for name in names):
        why = f"{metric} is better when it is lower: direction=minimize"
        raise usage_error("direction", direction, why)


def metric_names(config: DictConfig) -> list[str]:
    """Every metric that a run of ``config`` logs, and so may be scored by."""
    return ["train/loss", "val/loss", *(f"val/{name}" for name in config.get("metrics") or {})]


def _check_callbacks(config: DictConfig, metrics: Sequence[str]) -> None:
    for name, callback in (config.get("callbacks") or {}).items():
        for key in ("metric", "monitor"):  # ours, and Lightning's own
            for watched in each(callback and callback.get(key)):
                if watched and watched not in metrics:
                    told = f"callbacks.{name}.{key}"
                    raise usage_error(told, watched, "no such metric", metrics)


def _check_test(config: DictConfig) -> None:
    if not config.get("test"):
        return
    if has_key(config, "callbacks") and not (config.callbacks or {}).get("checkpoint"):
        raise usage_error("test", config.test, "needs callbacks.checkpoint")
    if OmegaConf.select(config, "data.test_fraction") == 0:
        raise usage_error("test", config.test, "data.test_fraction=0 leaves no test part")


def _check_validation(config: DictConfig) -> None:
    """Refuse a training that ends before its first validation: it would have no score."""
    none = OmegaConf.select(config, "trainer.limit_val_batches") == 0
    if none and any(name.startswith("val/") for name in each(config.metric)):
        why = f"leaves nothing for metric={_shown(config.metric)}"
        raise usage_error("trainer.limit_val_batches", 0, why)
    key = "trainer.check_val_every_n_epoch"
    every, epochs = OmegaConf.select(config, key), OmegaConf.select(config, "trainer.max_epochs")
    if every and epochs and every > epochs:
        raise usage_error(key, every, f"no validation in trainer.max_epochs={epochs}")


def _check_folds(config: DictConfig) -> None:
    folds = config.data.folds
    if config.data.get("overfit") is not None:
        raise usage_error("data.folds", folds, "there is nothing to fold with data.overfit")
    if config.get("panda"):
        raise usage_error("data.folds", folds, "a panda is one training; leave out panda=true")


def _check_data(data: DictConfig) -> None:
    from project.data.split import check_fractions, needed

    check_fractions(data.val_fraction, data.test_fraction)
    fewest = needed(data.val_fraction, data.test_fraction)
    if {"samples", "classes"} <= set(data) and data.samples // data.classes < fewest:
        raise usage_error(
            "data.samples", data.samples, f"too few: each class needs {fewest} to be split"
        )
    if data.get("shape") == "spirals" and data.features < 2:
        raise usage_error("data.features", data.features, "spirals need at least 2")


def _check_table(config: DictConfig, searched: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a table that cannot be learnt from, and say what is odd in it.

    Of what a sweep gives, each table is looked at that it may lead to.
    """
    if not str(config.data.get("_target_")).endswith(".data.table.Table"):
        return
    from project.data.look import look
    from project.data.source import SETTINGS

    shares = ("val_fraction", "test_fraction", "split_seed")
    keys = [f"data.{name}" for name in (*SETTINGS, *shares) if f"data.{name}" in searched]
    told: set[str] = set()
    for values in itertools.product(*(searched[key] for key in keys)):
        whole = config.copy()
        for key, value in zip(keys, values, strict=True):
            OmegaConf.update(whole, key, value, merge=False)
        data: Any = OmegaConf.to_container(whole.data, resolve=True)
        settings = {key: data[key] for key in SETTINGS if key in data}
        for line in look(settings, *(data[share] for share in shares)):
            if line not in told:
                print(f"warning: {line}", file=sys.stderr)
            told.add(line)


def _is_open(config: DictConfig, key: str) -> bool:
    """Whether a setting is still to be given: ``???``."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and OmegaConf.is_missing(node, name)


def _is_trial(searched: object) -> bool:
    """Whether this is a sweep's trial, whose table the sweep has looked at."""
    in_hydra = searched is None and HydraConfig.initialized()
    return in_hydra and HydraConfig.get().mode == RunMode.MULTIRUN
