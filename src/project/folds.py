"""k-fold cross-validation: a trial's score is its mean over folds, each trained in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

import caviar
from caviar.runs.active import ActiveRun, activate


def over_folds(config: DictConfig, train: Callable[[DictConfig], float]) -> float:
    """The mean score of ``train`` over ``config.data.folds`` folds; each one's facts are recorded.

    A fold's files are in ``fold-0``, ``fold-1``, … of the run folder. After each, the mean so far is
    reported, so a pruner may end a trial early.

    Args:
        train: a config with one fold chosen -> that fold's score.
    """
    folder, count = Path(config.dir), config.data.folds
    scores: list[float] = []
    facts: list[dict[str, Any]] = []
    for fold in range(count):
        place = folder / f"fold-{fold}"
        place.mkdir(exist_ok=True)
        with activate(ActiveRun(place)) as run:
            scores.append(train(_config_of(config, fold, place)))
        facts.append({"score": scores[-1], **run.facts})
        caviar.report(sum(scores) / len(scores), fold)
    caviar.record(
        metric=config.metric,
        seed=config.seed,
        metrics=_means([fact["metrics"] for fact in facts]),
        folds=[_told(fact, fold) for fold, fact in enumerate(facts)],
    )
    if all(fact.get("tested") for fact in facts):
        caviar.record(tested=True, test=_means([fact["test"] for fact in facts]))
    return sum(scores) / count


def _config_of(config: DictConfig, fold: int, place: Path) -> DictConfig:
    copied = config.copy()
    with open_dict(copied):
        copied.data.fold = fold
        copied.dir = str(place)
    return copied


def _told(fact: dict[str, Any], fold: int) -> dict[str, Any]:
    checkpoint = fact.get("checkpoint")
    path = f"fold-{fold}/{checkpoint}" if checkpoint else None
    kept = {key: fact[key] for key in ("score", "best_epoch", "test") if key in fact}
    return {**kept, "checkpoint": path}


def _means(dicts: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(d[key] for d in dicts) / len(dicts) for key in dicts[0]}
