"""What can be told of a config before anything is trained: cheap, and without torch."""

import itertools
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from caviar import UsageError, usage_error
from caviar.base.configs import has_key
from caviar.lightning.check import check_training, check_validation
from caviar.lightning.source import is_network
from project.choices import ACTIVATIONS, BATCH_NORM, SHAPES

Rule = tuple[Callable[[Any], bool], str]

_ANY: Rule = (lambda value: True, "")
_POSITIVE: Rule = (lambda value: value > 0, "must be above 0")
_NOT_NEGATIVE: Rule = (lambda value: value >= 0, "must be at least 0")
_SEED: Rule = (lambda value: 0 <= value < 2**32, "must be at least 0 and below 2**32")
_SHARE: Rule = (lambda value: 0 <= value < 1, "must be at least 0 and below 1")

_NUMBERS: dict[str, Rule] = {
    "seed": _SEED,
    "data.batch_size": _POSITIVE,
    "data.eval_batch_size": _POSITIVE,
    "data.split_seed": _SEED,
    "data.data_seed": _SEED,
    "data.samples": _POSITIVE,
    "data.features": _POSITIVE,
    "data.noise": _NOT_NEGATIVE,
    "data.classes": (lambda value: value >= 2, "must be at least 2"),
    "data.folds": (lambda value: value >= 2 and value % 1 == 0, "must be 2 or more, or null"),
    "data.overfit": (lambda value: value >= 2, "must be at least 2, or null"),
    "model.depth": _NOT_NEGATIVE,
    "model.width": _POSITIVE,
    "model.dropout": _SHARE,
    "model.batch_norm_eps": _POSITIVE,
    "model.loss.label_smoothing": _SHARE,
    "optimizer.lr": _POSITIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.momentum": _SHARE,
    "optimizer.beta1": _SHARE,
    "optimizer.beta2": _SHARE,
    "scheduler.warmup_epochs": _NOT_NEGATIVE,
    "scheduler.step_epochs": _POSITIVE,
    "scheduler.gamma": _POSITIVE,
    "scheduler.rise": _SHARE,
    "scheduler.initial": _NOT_NEGATIVE,
    "scheduler.final": _NOT_NEGATIVE,
    "scheduler.reduce": (lambda value: 0 < value < 1, "must be above 0 and below 1"),
    "scheduler.patience": _NOT_NEGATIVE,
    "trainer.max_epochs": _POSITIVE,
    "trainer.max_steps": (
        lambda value: value > 0 or value == -1,
        "must be above 0, or -1 for no end",
    ),
    "trainer.accumulate_grad_batches": _POSITIVE,
    "trainer.check_val_every_n_epoch": _POSITIVE,
    "trainer.limit_train_batches": _POSITIVE,
    "trainer.gradient_clip_val": _ANY,
    "trainer.log_every_n_steps": _NOT_NEGATIVE,
    "callbacks.checkpoint.every_seconds": _NOT_NEGATIVE,
    "callbacks.early_stopping.patience": _NOT_NEGATIVE,
    "callbacks.early_stopping.min_delta": _NOT_NEGATIVE,
    "callbacks.nan_guard.every_steps": _POSITIVE,
}

_WHOLE = {
    *("seed", "data.batch_size", "data.eval_batch_size", "data.split_seed", "data.data_seed"),
    *("data.samples", "data.features", "data.classes", "data.folds", "data.overfit"),
    *("model.depth", "model.width", "scheduler.patience", "trainer.max_epochs"),
    "trainer.max_steps",
    *("trainer.accumulate_grad_batches", "trainer.check_val_every_n_epoch"),
    *("trainer.log_every_n_steps", "callbacks.early_stopping.patience"),
    "callbacks.nan_guard.every_steps",
}
_MAY_BE_NULL = {
    *("data.folds", "data.overfit", "trainer.max_steps"),
    *("trainer.check_val_every_n_epoch", "trainer.limit_train_batches"),
    *("trainer.gradient_clip_val", "trainer.log_every_n_steps"),
}
_FLAGS = ("data.drop_last", "test")
_HIDDEN = "model.hidden"
_NAMES: dict[str, tuple[str | bool, ...]] = {
    "model.activation": tuple(ACTIVATIONS),
    "model.batch_norm": BATCH_NORM,
    "data.shape": SHAPES,
    "trainer.deterministic": (True, False, "warn"),
}

_CHECKED = (*_NUMBERS, *_FLAGS, *_NAMES, _HIDDEN)


def check(config: DictConfig, searched: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Raise UsageError, in one line, for a setting that cannot work. A sweep calls it first of all.

    A setting that ``config`` does not have is not checked, so another model may have others.

    Args:
        config: a run's, or what a sweep's trials start from.
        searched: values that a sweep may give, by key, so that a wrong end is told before it starts.
    """
    network = is_network(OmegaConf.select(config, "model._target_"))
    check_training(config, searched, metric_names(config) if network else None)
    in_steps = OmegaConf.select(config, "trainer.max_steps") is not None
    may_be_null = _MAY_BE_NULL | ({"trainer.max_epochs"} if in_steps else set())
    is_trial, searched = _is_trial(searched), searched or {}
    values = {
        key: OmegaConf.select(config, key)
        for key in _CHECKED
        if has_key(config, key)
        and (network or not key.startswith("model."))  # another's module may call so what it likes
        and not (key in searched and _is_open(config, key))
    }
    _check_values(values, may_be_null)
    for key, some in searched.items():
        for value in some:
            try:
                _check_values({key: value}, may_be_null)
            except UsageError as error:
                raise UsageError(f"{error} (the space has this value)") from error
    for key, example in (("data.path", "houses.csv"), ("data.target", "sold")):
        if has_key(config, key) and _is_open(config, key) and key not in searched:
            raise usage_error(key, "???", f"has to be given, as in {key}={example}")
    check_validation(config)
    if all(
        OmegaConf.select(config, f"data.{part}_fraction") is not None for part in ("val", "test")
    ):
        _check_data(config.data)
        if not is_trial:
            _check_table(config, searched)


def check_numbers(value_of: Callable[[str], Any]) -> None:
    """Raise UsageError for a number out of its range, or a name that is none of its choices.

    Args:
        value_of: gives a setting by its dotted key; None where there is none.
    """
    for key, choices in _NAMES.items():
        value = value_of(key)
        if value is not None and value not in choices:
            raise usage_error(key, value, "no such choice", choices)
    for key, (holds, problem) in _NUMBERS.items():
        value = value_of(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise usage_error(key, value, "must be a number")
        if key in _WHOLE and value % 1:
            raise usage_error(key, value, "must be a whole number")
        if not holds(value):
            raise usage_error(key, value, problem)
    for key in _FLAGS:
        if not isinstance(value_of(key), bool | None):
            raise usage_error(key, value_of(key), "must be true or false")
    hidden = value_of(_HIDDEN)
    sizes = list(hidden) if isinstance(hidden, Sequence) and not isinstance(hidden, str) else [0]
    if hidden is not None and not all(isinstance(size, int) and size > 0 for size in sizes):
        why = "must be a list of whole numbers above 0, as [64, 32], or null"
        raise usage_error(_HIDDEN, hidden, why)


def _check_values(values: Mapping[str, Any], may_be_null: Container[str]) -> None:
    for key in _NUMBERS:
        if key not in may_be_null and values.get(key, 0) is None:
            raise usage_error(key, "null", "must be a number")
    check_numbers(values.get)


def metric_names(config: DictConfig) -> list[str]:
    """Every metric that a run of ``config`` logs, and so may be scored by."""
    return ["train/loss", "val/loss", *(f"val/{name}" for name in config.get("metrics") or {})]


def _check_data(data: DictConfig) -> None:
    from caviar.tables.split import check_fractions, needed

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
    from caviar.tables.look import look, task_of_table
    from caviar.tables.source import SETTINGS

    shares = ("val_fraction", "test_fraction", "split_seed")
    keys = [f"data.{name}" for name in (*SETTINGS, *shares) if f"data.{name}" in searched]
    told: set[str] = set()
    for values in itertools.product(*(searched[key] for key in keys)):
        whole = config.copy()
        for key, value in zip(keys, values, strict=True):
            OmegaConf.update(whole, key, value, merge=False)
        data: Any = OmegaConf.to_container(whole.data, resolve=True)
        settings = {key: data[key] for key in SETTINGS if key in data}
        _check_task(whole, task_of_table(settings, data["val_fraction"], data["test_fraction"]))
        for line in look(settings, *(data[share] for share in shares)):
            if line not in told:
                print(f"warning: {line}", file=sys.stderr)
            told.add(line)


def _check_task(config: DictConfig, task: str) -> None:
    """Refuse a target that is a number where classes are learnt, and classes where a number is."""
    learnt = str(OmegaConf.select(config, "task._target_")).rpartition(".")[2]
    target = config.data.target
    if task == "regression" and learnt == "Classifier":
        why = "it is a number: add task=regression (data.task=classification takes classes)"
        raise usage_error("data.target", target, why)
    if task == "classification" and learnt == "Regressor":
        raise usage_error(
            "data.task", task, "task=regression learns a number; leave out one of them"
        )


def _is_open(config: DictConfig, key: str) -> bool:
    """Whether a setting is still to be given: ``???``."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and OmegaConf.is_missing(node, name)


def _is_trial(searched: object) -> bool:
    """Whether this is a sweep's trial, whose table the sweep has looked at."""
    in_hydra = searched is None and HydraConfig.initialized()
    return in_hydra and HydraConfig.get().mode == RunMode.MULTIRUN
