"""A run of several trainings, k-fold cross-validation: a folder for each, and their means.

A run folder holds ``fold-0``, ``fold-1``, …, each with the files of its training, and ``fold.json`` when
it is done: ``score``, ``best_epoch``, ``metrics``, ``checkpoint`` (in that folder) and, where it was
tested, ``test``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.runs.fields import LIST, NUMBER, TEXT, check_fields, each, either, mapping_to, optional
from caviar.runs.files import read_described, write_atomic
from caviar.runs.inside import copy_folder

FOLD = "fold.json"
_MUST = {
    "score": either(NUMBER, each(NUMBER)),
    **dict.fromkeys(("metrics", "test"), mapping_to(NUMBER)),
    "checkpoint": optional(TEXT),
}
_KEPT = ("score", "best_epoch", "metrics", "checkpoint", "tested", "test")

Facts = dict[str, Any]


def fold_folder(run: Path, fold: int) -> Path:
    """Where a fold of a run has its files."""
    return run / f"fold-{fold}"


def write_fold(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``fold.json``: the fold is done, and these are its results."""
    kept = {key: facts[key] for key in _KEPT if key in facts}
    write_atomic(folder / FOLD, json.dumps(kept, indent=1) + "\n")


def earlier_fold(resume_from: Path | str | None, place: Path) -> Path | None:
    """Where an earlier try of a run has the fold that this one has at ``place``, if there was one.

    Args:
        resume_from: the earlier try's folder of checkpoints.
    """
    return Path(resume_from).parent / place.name if resume_from else None


def take_over(resume_from: Path | str | None, place: Path) -> Facts | None:
    """The results of a fold that an earlier try finished, its files copied to ``place``; else None."""
    earlier = earlier_fold(resume_from, place)
    facts = read_fold(earlier) if earlier else None
    if earlier and facts and earlier != place:
        copy_folder(earlier, place)
    return facts


def read_fold(folder: Path) -> Facts | None:
    """The results of a fold; None where it is not done, or its ``fold.json`` cannot be used."""
    path = folder / FOLD
    try:
        found = read_described(path, 0, "fold")
        check_fields(path, found, _MUST, needed=("score", "metrics"))
    except UsageError:
        return None
    return found


def mean_scores(folds: Sequence[Mapping[str, Any]]) -> list[float]:
    """The mean of the folds' scores, of each objective; a fold's ``score`` is a number or a list."""
    scores = [f["score"] if LIST[0](f["score"]) else [f["score"]] for f in folds]
    return [sum(values) / len(folds) for values in zip(*scores, strict=True)]


def facts_of(folds: Sequence[Mapping[str, Any]]) -> Facts:
    """What ``result.json`` says of a run of these folds: means, and each fold by itself."""
    found: Facts = {
        "metrics": _means([fold["metrics"] for fold in folds]),
        "folds": [_summary(fold, number) for number, fold in enumerate(folds)],
    }
    if all(fold.get("tested") for fold in folds):
        found |= {"tested": True, "test": _means([fold["test"] for fold in folds])}
    return found


def _summary(fold: Mapping[str, Any], number: int) -> Facts:
    checkpoint = fold.get("checkpoint")
    path = str(fold_folder(Path(), number) / checkpoint) if checkpoint else None
    kept = {key: fold[key] for key in ("score", "best_epoch", "test") if key in fold}
    return {**kept, "checkpoint": path}


def _means(dicts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: sum(one[key] for one in dicts) / len(dicts) for key in dicts[0]}
