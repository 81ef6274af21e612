"""What can be told of any training's config before it begins: cheap, and without torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from caviar.base.configs import has_key, keys_of
from caviar.base.direction import DIRECTIONS
from caviar.base.errors import usage_error
from caviar.base.objectives import each
from caviar.runs.folder import check_run_name
from caviar.runs.tags import is_tag

_SINGLE = {"metric": "val/acc", "direction": "maximize"}
_LESS_IS_BETTER = ("loss", "CalibrationError", "HammingDistance", "HingeLoss")
"""How the names of losses and of torchmetrics classes end that are better when they are lower."""
_PACKAGES = {
    "TensorBoardLogger": "tensorboard",
    "WandbLogger": "wandb",
    "MLFlowLogger": "mlflow",
    "CometLogger": "comet-ml",
    "NeptuneLogger": "neptune",
}


def check_training(
    config: DictConfig,
    searched: Mapping[str, Sequence[Any]] | None,
    metrics: Collection[str] | None,
) -> None:
    """Raise UsageError, in one line, for what no training of any module could be.

    Args:
        config: a run's, or what a sweep's trials start from.
        searched: values that a sweep may give, by key.
        metrics: all that the module logs; None where that is known only when it has.
    """
    check_run_name("" if config.name is None else str(config.name))
    _check_objectives(config, metrics)
    for key in {"metric", "direction", "score"} & set(searched or {}):
        raise usage_error(key, "a choice", "it is what trials are compared by, the same for all")
    _check_added(config, searched or {})
    _check_callbacks(config, metrics)
    _check_test(config)
    for tag in config.get("tags") or ():
        if not is_tag(tag):
            raise usage_error("tags", tag, "a tag is made of A-Z a-z 0-9 . _ - alone")
    strategies = (searched or {}).get("trainer.strategy", ())
    for strategy in (OmegaConf.select(config, "trainer.strategy"), *strategies):
        check_strategy(strategy)
    for name, logger in (config.get("logger") or {}).items():
        package = _PACKAGES.get(str(logger and logger.get("_target_")).rpartition(".")[2])
        if package and find_spec(package.replace("-", "_")) is None:
            raise usage_error("logger", name, f"needs: pip install {package}")
    if not config.get("train", True) and not config.get("ckpt_path"):
        raise usage_error("train", config.train, "needs ckpt_path=…: a checkpoint to judge")
    if config.get("ckpt_path") and not Path(str(config.ckpt_path)).is_file():
        raise usage_error("ckpt_path", config.ckpt_path, "no such file")
    if OmegaConf.select(config, "data.folds") is not None:
        _check_folds(config)


def _check_added(config: DictConfig, searched: Mapping[str, Any]) -> None:
    """Refuse a key that the command line adds beside the config's own, and that nothing refers to."""
    words, groups = list(searched), set[str]()
    if HydraConfig.initialized():
        words.extend(map(str, HydraConfig.get().overrides.task))
        groups = set(HydraConfig.get().runtime.choices)
    added = [word.lstrip("+").partition("=")[0] for word in words if word.startswith("+")]
    # A candidate is what `caviar confirm` adds itself: nothing has to read it.
    for key in {name.partition(".")[0] for name in added} - {"candidate", *groups}:
        if key not in config or "@" in key or "/" in key:
            continue
        leaves = [name for name in keys_of(config) if name == key or name.startswith(f"{key}.")]
        own = [n for n in leaves if not OmegaConf.is_config(OmegaConf.select(config, n))]
        new = all(any(f"{n}.".startswith(f"{one}.") for one in added) for n in own)
        if new and f"${{{key}" not in str(OmegaConf.to_container(config)):
            known = [str(name) for name in config if name != key]
            raise usage_error(f"+{key}", config[key], "nothing reads such a key", known)


def _check_objectives(config: DictConfig, metrics: Collection[str] | None) -> None:
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
        if metrics is not None and name not in metrics:
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
        made_by = (config.get("metrics") or {}).get(metric.removeprefix("val/")) or {}
        known_as = (metric, str(made_by.get("_target_")))
        if direction == "maximize" and any(name.endswith(_LESS_IS_BETTER) for name in known_as):
            why = f"{metric} is better when it is lower: direction=minimize"
            raise usage_error("direction", direction, why)


def _shown(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, ListConfig) else str(value)


def _check_callbacks(config: DictConfig, metrics: Collection[str] | None) -> None:
    for name, callback in (config.get("callbacks") or {}).items():
        for key in ("metric", "monitor"):  # ours, and Lightning's own
            for watched in each(callback and callback.get(key)):
                if watched and metrics is not None and watched not in metrics:
                    why = "no such metric"
                    raise usage_error(f"callbacks.{name}.{key}", watched, why, metrics)


def _check_test(config: DictConfig) -> None:
    if not config.get("test"):
        return
    if has_key(config, "callbacks") and not (config.callbacks or {}).get("checkpoint"):
        raise usage_error("test", config.test, "needs callbacks.checkpoint")
    if OmegaConf.select(config, "data.test_fraction") == 0:
        raise usage_error("test", config.test, "data.test_fraction=0 leaves no test part")


def check_strategy(strategy: object) -> None:
    """Refuse one of Lightning's whose processes are copies of one that has begun to train."""
    if any(method in str(strategy) for method in ("spawn", "fork", "notebook")):
        why = "its processes do not leave one run between them"
        raise usage_error("trainer.strategy", strategy, why, ["ddp"])


def check_validation(config: DictConfig) -> None:
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
    devices = OmegaConf.select(config, "trainer.devices", default=1)
    if devices not in (1, "1"):
        why = f"a fold is trained by one process, not on trainer.devices={devices}"
        raise usage_error("data.folds", folds, why)
    if config.get("panda"):
        raise usage_error("data.folds", folds, "a panda is one training; leave out panda=true")
