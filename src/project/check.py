"""What is checked of a config before anything is trained: cheap, and without torch."""

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from caviar import UsageError, usage_error
from caviar.base.configs import has_key
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
from caviar.lightning.check import check_training, check_validation
from caviar.lightning.source import is_network
from project.choices import ACTIVATIONS, BATCH_NORM, SHAPES

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


def check(config: DictConfig, searched: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Raise UsageError, in one line, for a setting that cannot work. A sweep calls it first of all.

    A setting that ``config`` does not have is not checked, so another model may have others.

    Args:
        config: a run's, or what a sweep's trials start from.
        searched: values that a sweep may give, by key, so that a wrong end is an error before it starts.
    """
    network = is_network(OmegaConf.select(config, "model._target_"))
    check_training(config, searched, metric_names(config) if network else None)
    in_steps = OmegaConf.select(config, "trainer.max_steps") is not None
    endless = {"trainer.max_epochs": COUNT.or_null} if in_steps else {}
    # The table of a sweep's trial is one that the sweep has looked at.
    in_hydra = searched is None and HydraConfig.initialized()
    is_trial = in_hydra and HydraConfig.get().mode == RunMode.MULTIRUN
    searched = searched or {}
    values = {
        key: OmegaConf.select(config, key)
        for key in RULES
        if has_key(config, key)
        and (network or not key.startswith("model."))  # another's module may call so what it likes
        and not (key in searched and _is_open(config, key))
    }
    check_settings(values, RULES | endless)
    for key, some in searched.items():
        for value in some:
            try:
                check_settings({key: value}, RULES | endless)
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


def task_words(words: Sequence[str], compose: Callable[[], DictConfig | None]) -> list[str]:
    """The ``task=`` that learns the target of ``data=table``, where nobody has chosen one.

    Returns:
        What to add to them: nothing where classes are learnt, which is what the configs do.

    Raises:
        UsageError: the table cannot be learnt from.
    """
    keys = {word.lstrip("+").partition("=")[0] for word in words}
    if not keys & {"data", "experiment"} or keys & {"task", "data.task"}:
        return []
    config = compose()
    if config is None or not _is_table(config):
        return []
    data = config.data
    if data.get("task") or str(config.task.get("_target_")) != "project.classifier.Classifier":
        return []
    if any(_is_open(config, f"data.{key}") for key in ("path", "target")):
        return []
    _, task, labels = _learnt_from(data)
    if task == "classification":
        return []
    what = f"{len(labels)} labels" if labels else "a number; data.task=classification takes classes"
    print(f"task={task} for data.target={_as_typed(data.target)}: {what}", file=sys.stderr)
    return [f"task={task}"]


def _are_sizes(hidden: Any) -> bool:
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        return False
    return all(type(size) is int and size > 0 for size in hidden)


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
    if not _is_table(config):
        return
    from caviar.tables.look import look
    from caviar.tables.source import SETTINGS

    shares = ("val_fraction", "test_fraction", "split_seed")
    keys = [f"data.{name}" for name in (*SETTINGS, *shares) if f"data.{name}" in searched]
    said: set[str] = set()
    for values in itertools.product(*(searched[key] for key in keys)):
        whole = config.copy()
        for key, value in zip(keys, values, strict=True):
            OmegaConf.update(whole, key, value, merge=False)
        data, task, classes = _learnt_from(whole.data)
        settings = {key: data[key] for key in SETTINGS if key in data}
        odd = look(settings, *(data[share] for share in shares))
        _check_task(whole, task, classes)
        decided = [] if data.get("task") else [_decided(data["target"], task, classes)]
        for line in (*decided, *(f"warning: {line}" for line in odd)):
            if line not in said:
                print(line, file=sys.stderr)
            said.add(line)


def _is_table(config: DictConfig) -> bool:
    return str(OmegaConf.select(config, "data._target_")).endswith(".data.table.Table")


def _learnt_from(data: DictConfig) -> tuple[dict[str, Any], str, Sequence[Any]]:
    """A table's settings, what its target is taken for, and its classes or labels."""
    from caviar.tables.look import task_of_table
    from caviar.tables.source import SETTINGS

    plain: Any = OmegaConf.to_container(data, resolve=True)
    settings = {key: plain[key] for key in SETTINGS if key in plain}
    return plain, *task_of_table(settings, plain["val_fraction"], plain["test_fraction"])


def _decided(target: Any, task: str, classes: Sequence[Any]) -> str:
    """What the target's kind was taken for."""
    from caviar.tables.names import listed

    kind = {
        "regression": "a number: regression (data.task=classification takes classes)",
        "multilabel": f"{len(classes)} labels: multilabel",
        "classification": f"{len(classes)} classes ({listed(map(str, classes))}): classification",
    }[task]
    return f"data.target={_as_typed(target)}: {kind}"


def _as_typed(target: Any) -> str:
    several = isinstance(target, Sequence) and not isinstance(target, str)
    return f"[{','.join(map(str, target))}]" if several else str(target)


def _check_task(config: DictConfig, task: str, classes: Sequence[Any]) -> None:
    """Refuse a target of another kind than what trains the network learns."""
    learnt = str(OmegaConf.select(config, "task._target_")).rpartition(".")[2]
    binary = "multilabel" if OmegaConf.select(config, "task.labels") else "classification"
    kinds = {"Classifier": "classification", "Regressor": "regression", "Binary": binary}
    takes = kinds.get(learnt, task)  # a class of the user's may take any
    target, two = _as_typed(config.data.target), len(classes) == 2
    if task != takes and task == "regression":
        why = "it is a number: add task=regression (data.task=classification takes classes)"
        raise usage_error("data.target", target, why)
    if task != takes and task == "multilabel":
        why = "a row may have several of them: add task=multilabel"
        raise usage_error("data.target", target, why)
    if task != takes and takes == "regression":
        why = "task=regression learns a number; leave out one of them"
        raise usage_error("data.task", task, why)
    if task != takes or (learnt == "Binary" and task == "classification" and not two):
        asked = "labels: a list of columns" if takes == "multilabel" else "two classes"
        why = f"it has {len(classes)} classes, one a row, and this task is of {asked}"
        raise usage_error("data.target", target, f"{why}; task={'binary' if two else task}")


def _is_open(config: DictConfig, key: str) -> bool:
    """Whether a setting is still to be given: ``???``."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and OmegaConf.is_missing(node, name)
