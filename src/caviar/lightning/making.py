"""From a config to what trains: the data and the module that it names, made with its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf

from caviar.base.collecting import uncollected
from caviar.base.errors import usage_error
from caviar.base.objectives import each, first
from caviar.base.references import reading
from caviar.base.scoring import BEST
from caviar.base.security import find_target, instantiate
from caviar.engines.experiment import Experiment
from caviar.lightning.shared_data import shared
from caviar.runs.active import record, stop_if_asked


def make_data(config: DictConfig) -> Any:
    """The data of a run's config as a Trainer takes it.

    What ``data._target_`` names is a `LightningDataModule`, or gives one by its method ``datamodule()``. It
    is given ``seed`` where it takes that, and its config does not have it.

    Raises:
        UsageError: it is neither, does not take its arguments, or cannot be read.
    """
    load(config)
    stop_if_asked()
    if config.get("test"):
        record(testing=False)  # so far: see `caviar.confirm.test_look`
    from lightning.pytorch import LightningDataModule

    target = find_target(config.data, "data")
    own_seed = takes(target, "seed") and "seed" not in config.data

    def make() -> Any:
        data = instantiate(config.data, **({"seed": config.seed} if own_seed else {}))
        return data.datamodule() if hasattr(data, "datamodule") else data

    module = shared(plain(config.data), config.seed, make)
    if not isinstance(module, LightningDataModule):
        why = "is no LightningDataModule, and has no datamodule() that gives one"
        raise usage_error("data._target_", config.data["_target_"], why)
    return module


def make_module(config: DictConfig, data: Any) -> Any:
    """The LightningModule of a run's config, initialised as its seed says.

    What ``model._target_`` names is a LightningModule, and is made as it stands; or it is a network, which
    the class that ``task._target_`` names trains: ``of(config, data)`` makes that. A reference like
    ``${data:num_features}`` anywhere in the config is the attribute of ``data``.

    Raises:
        UsageError: it is neither, does not take its arguments, or asks ``data`` for what they have not.
    """
    from lightning.pytorch import LightningModule

    from caviar.lightning.seeding import seeded

    target = find_target(config.model, "model")
    with reading(data), seeded(config.seed):
        if isinstance(target, type) and issubclass(target, LightningModule):
            return instantiate(config.model, **_groups(target, config))
        # Configs of 0.2 had no task: a network says itself what trained it.
        task = config.get("task") or {"_target_": getattr(target, "task", None)}
        if not task["_target_"]:
            why = "is no LightningModule, and no task=… says what trains a network"
            raise usage_error("model._target_", config.model["_target_"], why)
        made_by: Any = find_target(task, "task")
        if not hasattr(made_by, "of"):
            raise usage_error("task._target_", task["_target_"], "has no of(config, data)")
        try:
            return made_by.of(config, data)
        except AttributeError as error:
            if error.obj is not data:
                raise
            why = f"has no {error.name} for {task['_target_']}: choose a model that is a LightningModule"
            raise usage_error("data._target_", config.data["_target_"], why) from None


def experiment(config: DictConfig, module: Any, data: Any) -> Experiment:
    """A training of ``module`` on ``data``, as ``config`` says the rest."""
    return Experiment(module, data, plain(config.trainer), **scored(config))


def scored(config: Mapping[Any, Any]) -> dict[str, Any]:
    """What an `Experiment` or a training on a lane has of its score and its seed."""
    metric, *also = each(config["metric"])
    return {
        "metric": metric,
        "also": tuple(also),
        "direction": first(config["direction"]),
        "score": config.get("score", BEST),
        "seed": config["seed"],
    }


def make_each(*groups: DictConfig | None) -> list[Any]:
    """What config groups name: each is one object, or a mapping of some (callbacks, loggers).

    Those that are null are left out, and callbacks that say that they are not ``wanted``.
    """
    found: list[Any] = []
    for group in groups:
        made = instantiate(group, _convert_="all") if group else {}
        found += made.values() if isinstance(made, dict) else [made]
    return [one for one in found if one is not None and getattr(one, "wanted", True)]


def takes(made_by: Any, name: str) -> bool:
    """Whether a class or function takes ``name``; a base class's counts where arguments are handed on."""
    if not isinstance(made_by, type):
        return name in inspect.signature(made_by).parameters
    if "__new__" in vars(made_by) and name in inspect.signature(made_by.__new__).parameters:
        return True
    for kind in made_by.__mro__[:-1]:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(kind.__init__).parameters
        if name in parameters:
            return True
        if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return False
    return False


def sized(metrics: Mapping[str, Any] | None, **sizes: Any) -> dict[str, Any]:
    """Settings of torchmetrics classes by name, each with those of ``sizes`` that it takes and has not."""
    found: dict[str, Any] = {}
    for name, settings in (metrics or {}).items():
        kind = find_target(settings, f"metrics.{name}")
        found[name] = {k: v for k, v in sizes.items() if takes(kind, k)} | dict(settings)
    return found


def plain(node: Any) -> Any:
    """A part of a config as plain containers."""
    return None if node is None else OmegaConf.to_container(node, resolve=True)


_loaded: set[str] = set()


def load(config: DictConfig) -> None:
    """Import what trains, without garbage collections: they find nothing, and take a sixth of the time."""
    targets = {str((config.get(part) or {}).get("_target_")) for part in ("task", "data", "model")}
    if targets <= _loaded:
        return
    _loaded.update(targets)
    with uncollected():
        import_module("lightning.pytorch")
        for target in targets:
            with suppress(Exception):  # raised again where it is made
                find_target({"_target_": target}, "")


def _groups(module: type, config: DictConfig) -> dict[str, Any]:
    """The config's optimizer and scheduler for a module that takes them and whose own config has none.

    Each is a `functools.partial`, to be called with parameters, or with the optimizer.

    Raises:
        UsageError: the scheduler is none that a call with the optimizer alone would make.
    """
    from caviar.lightning.optimizers import partial_of

    found: dict[str, Any] = {}
    optimizer, scheduler = config.get("optimizer"), config.get("scheduler")
    if takes(module, "optimizer") and "optimizer" not in config.model and optimizer:
        found["optimizer"] = partial_of(plain(optimizer))
    if takes(module, "scheduler") and "scheduler" not in config.model:
        made = instantiate(scheduler) if scheduler else None
        partial = bool(scheduler and scheduler.get("_partial_"))
        if made is not None and not partial and not getattr(made, "constant", False):
            why = f"{module.__name__} takes a torch scheduler: one with _partial_: true, or scheduler=none"
            raise usage_error("scheduler._target_", scheduler["_target_"], why)
        found["scheduler"] = made if partial else None
    return found
