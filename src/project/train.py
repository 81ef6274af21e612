"""One run, from a config to a score. Read this file first.

``python -m project.train optimizer.lr=0.01`` trains once; with ``-m`` it sweeps. The functions that
train import torch and lightning: a sweep's controller imports this file without them.
"""

from __future__ import annotations

import gc
import logging
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

import caviar
from caviar.base.objectives import as_given, each, first, scores_in_words
from project.check import check

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from project.callbacks.score import Score

log = logging.getLogger(__name__)

_HERE = Path(__file__).resolve().parent
_CLONE = _HERE.parents[1] / "configs"
CONFIGS = _CLONE if (_CLONE / "train.yaml").exists() else _HERE / "configs"
"""The config groups: beside ``src`` in a clone, inside the package in a wheel."""

BEST = "checkpoints/best.ckpt"
"""Where the checkpoint callback leaves the best state, in the run folder."""


@caviar.main(config_path=str(CONFIGS), config_name="train")
def main(config: DictConfig) -> float | list[float]:
    """Train as ``config`` says; the score is ``config.metric`` at its best epoch.

    Of several metrics, the scores are a list, all of the epoch that is the best by the first.
    """
    check(config)
    if OmegaConf.select(config, "data.folds"):
        from project.folds import config_of, over_folds

        _load()
        for fold in range(config.data.folds):
            build(
                config_of(config, fold, Path(config.dir))
            )  # what any is refused for, before the first
        return over_folds(config, train_once)
    return train_once(config)


def train_once(config: DictConfig) -> float | list[float]:
    """Build, fit and, where ``config.test`` says so, test; the score."""
    _load()
    caviar.stop_if_asked()
    experiment = build(config)
    caviar.stop_if_asked()
    score = fit(config, experiment)
    if config.test:
        test(config, experiment)
    return score


@cache
def _load() -> None:
    """Import what trains, without garbage collections: they find nothing, and take a sixth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    for name in ("lightning.pytorch", "project.classifier", "project.data.datamodule"):
        import_module(name)
    gc.freeze()  # it stays: no later collection need look through it
    if enabled:
        gc.enable()


def build(config: DictConfig) -> caviar.Experiment:
    """What ``config`` describes: the data, the module and the trainer's settings, nothing trained.

    It needs no run folder and no Hydra at work, so a notebook may call it with a composed config.

    Raises:
        UsageError: the data cannot be used, or a setting is none of its choices.
    """
    from project.classifier import Classifier
    from project.data.datamodule import DataModule, make_data
    from project.seeding import seeded

    data = make_data(config)
    network = _plain(config.model)
    loss = network.pop("loss", None) or {}
    loss["class_weights"] = data.class_weights(loss.get("class_weights"))
    with seeded(config.seed):
        module = Classifier(
            network={
                **network,
                "in_features": data.num_features,
                "num_classes": data.num_classes,
            },
            optimizer=_plain(config.optimizer),
            scheduler=_plain(config.get("scheduler")),
            metrics=_plain(config.get("metrics")),
            **loss,
            metric=first(config.metric),
            direction=first(config.direction),
        )
    if isinstance(data, DataModule):
        limit = config.trainer.get("limit_train_batches")
        data.data.check_batches(lambda: deepcopy(module.network), limit)
    return caviar.Experiment(
        module=module,
        data=data,
        trainer=_plain(config.trainer),
        metric=first(config.metric),
        direction=first(config.direction),
        also=tuple(each(config.metric)[1:]),
        seed=config.seed,
    )


def fit(config: DictConfig, experiment: caviar.Experiment) -> float | list[float]:
    """Train ``experiment`` in the run folder ``config.dir``, and record what came of it.

    Returns:
        The score at the best epoch, or the scores there.

    Raises:
        FloatingPointError: a loss or the score is NaN or infinite.
        UsageError: Lightning cannot train with these settings.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from project.callbacks.score import Score
    from project.data.datamodule import DataModule
    from project.quiet import quiet
    from project.resume import checkpoint_to_resume
    from project.seeding import seeded

    folder = Path(config.dir)
    if isinstance(experiment.data, DataModule):
        experiment.data.parts.preprocessing.save(folder)
    score = Score(experiment.metric, experiment.direction, experiment.also)
    with quiet(), seeded(experiment.seed):
        trainer = make_trainer(config, experiment, score)
        try:
            trainer.fit(
                experiment.module,
                datamodule=experiment.data,
                ckpt_path=checkpoint_to_resume(folder),
                weights_only=True,
            )
        except MisconfigurationException as error:
            raise caviar.UsageError(f"trainer: {' '.join(str(error).split())}") from error
    if score.value is None:
        raise caviar.usage_error("metric", experiment.metric, "never logged: no validation ran")
    caviar.record(
        metric=as_given(experiment.objectives),
        best_epoch=score.epoch,
        metrics=score.metrics,
        seed=experiment.seed,
        checkpoint=BEST if (folder / BEST).exists() else None,
    )
    scores = scores_in_words(experiment.objectives, score.values)
    log.info("%s at epoch %d: %s", scores, score.epoch, folder)
    return as_given(score.values)


def test(config: DictConfig, experiment: caviar.Experiment) -> None:
    """Evaluate the test part with the best checkpoint, and record that it was done."""
    from project.classifier import Classifier
    from project.evaluation import evaluate_test_part, in_words

    best = Path(config.dir) / BEST
    if not best.exists():
        raise caviar.usage_error("test", config.test, "needs callbacks.checkpoint")
    module = Classifier.load_from_checkpoint(best, weights_only=True)
    metrics = evaluate_test_part(module, experiment.data, experiment.trainer)
    caviar.record(tested=True, test=metrics)
    log.info(in_words(metrics))


def make_trainer(config: DictConfig, experiment: caviar.Experiment, score: Score) -> Trainer:
    """The Lightning Trainer with the config's callbacks and logger, and ``score`` beside them."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import Checkpoint, ProgressBar

    from caviar.runs.config import resolved
    from project.alone import one_process
    from project.callbacks.epoch_seed import EpochSeed
    from project.callbacks.signals import KeepSignals

    callbacks = _each(config.get("callbacks"))
    if config.get("panda"):
        callbacks.insert(0, caviar.instantiate(config.panda, _convert_="all"))
    loggers = _each(config.get("logger"))
    for logger in loggers:
        logger.log_hyperparams(resolved(config))
    ours = {
        "callbacks": [KeepSignals(), EpochSeed(experiment.seed), *callbacks, score],
        "logger": loggers,
        # Lightning would add its own of either kind where the config has none.
        "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in callbacks),
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "default_root_dir": config.dir,
    }
    for key in ours.keys() & experiment.trainer.keys():
        raise caviar.usage_error(
            f"trainer.{key}", experiment.trainer[key], "is set by project.train"
        )
    settings = {**experiment.trainer, **one_process(experiment.trainer)}
    try:
        return Trainer(**settings, **ours)
    except Exception as error:
        raise caviar.UsageError(f"trainer: {' '.join(str(error).split())}") from error


def _each(group: DictConfig | None) -> list[Any]:
    made = caviar.instantiate(group, _convert_="all") if group else {}
    return [one for one in made.values() if one is not None]


def _plain(node: Any) -> Any:
    return None if node is None else OmegaConf.to_container(node, resolve=True)


if __name__ == "__main__":
    main()  # type: ignore[call-arg]
