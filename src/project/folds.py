"""k-fold cross-validation: a trial's score is its mean over folds, each trained in a folder of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, open_dict

import caviar
from caviar.base.objectives import as_given, each, scores_in_words
from caviar.runs.active import ActiveRun, activate
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


def over_folds(
    config: DictConfig, train: Callable[[DictConfig], float | list[float]]
) -> float | list[float]:
    """The mean score of ``train`` over ``config.data.folds`` folds; each one's facts are recorded.

    After each fold the mean so far is reported, so a pruner may end a trial early. A trial that is
    tried again goes on with the fold that it was at.

    Args:
        train: a config with one fold chosen -> that fold's score.
    """
    folds: list[Facts] = []
    for fold in range(config.data.folds):
        folds.append(_fold(config, fold, train))
        caviar.report(mean_scores(folds)[0], fold)
    metrics = each(config.metric)
    caviar.record(metric=as_given(metrics), seed=config.seed, **facts_of(folds))
    means = mean_scores(folds)
    scores = scores_in_words(metrics, means)
    log.info("%s, the mean over %d folds: %s", scores, len(folds), config.dir)
    return as_given(means)


def _fold(
    config: DictConfig, fold: int, train: Callable[[DictConfig], float | list[float]]
) -> Facts:
    place = fold_folder(Path(config.dir), fold)
    if (done := take_over(caviar.resume_from(), place)) is not None:
        return done
    earlier = earlier_fold(caviar.resume_from(), place)
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
