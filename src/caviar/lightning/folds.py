"""k-fold cross-validation: a trial's score is its mean over folds, each trained in a folder of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from caviar.base.errors import usage_error
from caviar.base.objectives import as_given, each, scores_in_words
from caviar.base.security import find_target
from caviar.engines.experiment import Experiment
from caviar.lightning.making import takes
from caviar.runs.active import ActiveRun, activate, record, report, resume_from
from caviar.runs.folder import CHECKPOINTS
from caviar.runs.folds import (
    Facts,
    earlier_fold,
    facts_of,
    fold_folder,
    mean_scores,
    take_over,
    write_fold,
)
from caviar.runs.inside import make_folders

log = logging.getLogger(__name__)


Scores = float | list[float]
Build = Callable[[DictConfig], Experiment]
Train = Callable[[DictConfig, Experiment], Scores]


def over_folds(config: DictConfig, build: Build, train: Train) -> Scores:
    """The score of ``train``; of ``config.data.folds``, where that is set, the mean.

    What any fold is refused for is told before the first trains.

    Args:
        build: a config, with one fold chosen -> what trains.
        train: the two -> the score.

    Raises:
        UsageError: the data cannot be folded, or two folds validate on the same samples.
    """
    folds = OmegaConf.select(config, "data.folds")
    if not folds:
        return train(config, build(config))
    kind = find_target(config.data, "data")
    if not (takes(kind, "folds") and takes(kind, "fold")):
        why = f"{config.data['_target_']} takes no folds and fold, and so cannot be folded"
        raise usage_error("data.folds", folds, why)
    place = Path(config.dir)
    check_distinct(
        folds, (_validation(build(config_of(config, fold, place))) for fold in range(folds))
    )
    return mean_over_folds(config, lambda one: train(one, build(one)))


def mean_over_folds(config: DictConfig, train: Callable[[DictConfig], Scores]) -> Scores:
    """The mean score of ``train`` over ``config.data.folds`` folds; each one's facts are recorded.

    After each fold the mean so far is reported, so a pruner may end a trial early. A trial that is
    tried again goes on with the fold that it was at.
    """
    folds: list[Facts] = []
    for fold in range(config.data.folds):
        folds.append(_fold(config, fold, train))
        report(mean_scores(folds)[0], fold)
    metrics = each(config.metric)
    record(metric=as_given(metrics), seed=config.seed, **facts_of(folds))
    means = mean_scores(folds)
    log.info(
        "%s, the mean over %d folds: %s", scores_in_words(metrics, means), len(folds), config.dir
    )
    return as_given(means)


def check_distinct(folds: int, marks: Iterable[Hashable]) -> None:
    """Raise UsageError where two folds have the same mark of what they validate on."""
    known: dict[Hashable, int] = {}
    for fold, mark in enumerate(marks):
        if mark in known:
            why = f"folds {known[mark]} and {fold} validate on the same samples: the data split themselves"
            raise usage_error("data.folds", folds, why)
        known[mark] = fold


def _validation(experiment: Experiment) -> str:
    """A mark of the first batch that is validated on."""
    data: Any = experiment.data
    data.prepare_data()
    data.setup("fit")
    return sha256(_bytes(next(iter(data.val_dataloader())))).hexdigest()


def _bytes(batch: Any) -> bytes:
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    return (
        b"|".join(map(_bytes, batch)) if isinstance(batch, list | tuple) else repr(batch).encode()
    )


def _fold(config: DictConfig, fold: int, train: Callable[[DictConfig], Scores]) -> Facts:
    place = fold_folder(Path(config.dir), fold)
    if (done := take_over(resume_from(), place)) is not None:
        return done
    earlier = earlier_fold(resume_from(), place)
    make_folders(place)
    with activate(ActiveRun(place, resume_from=earlier / CHECKPOINTS if earlier else None)) as run:
        score = train(config_of(config, fold, place))
    facts = {"score": score, **run.facts}
    write_fold(place, facts)
    return facts


def config_of(config: DictConfig, fold: int, place: Path) -> DictConfig:
    """The config of one fold's training in the folder ``place``."""
    copied = config.copy()
    with open_dict(copied):
        copied.data.fold = fold
        copied.dir = str(place)
    return copied
