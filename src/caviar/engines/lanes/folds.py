"""A trial of several folds, each on a lane of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caviar.base.messages import Job, Reported
from caviar.engines.experiment import Called, Recipe
from caviar.engines.lanes.run_folder import BEST_CHECKPOINT, LANE, RunFolder
from caviar.runs import folder as names
from caviar.runs.folds import (
    Facts,
    earlier_fold,
    fold_folder,
    mean_scores,
    take_over,
    write_fold,
)
from caviar.runs.inside import remove_inside
from caviar.runs.life import Life


class FoldFolder(RunFolder):
    """A fold's folder inside its trial's folder. Only the trial has a result and a config."""

    def begin(self) -> None:
        if not self._made:
            with self._noting():
                self._make()

    def done(
        self, rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, facts: Facts
    ) -> None:
        """Write all that is still to be written, ``fold.json`` last."""
        self.begin()
        self._rows(rows)
        if best is not None:
            self.checkpoint(Path(BEST_CHECKPOINT).name, best)
        with self._noting():
            remove_inside(self.path / names.CHECKPOINTS / LANE)
            if self.error is None:
                write_fold(self.path, facts)

    def _texts(self) -> Mapping[str, str]:
        return self.files


@dataclass(eq=False)
class Folded:
    """A trial while its folds train.

    Attributes:
        folder: the trial's own; ``places``: those of its folds.
        done: by fold, what those that have ended came to.
    """

    job: Job
    folder: RunFolder
    recipes: Sequence[Recipe | Called]
    places: list[FoldFolder] = field(init=False)
    done: dict[int, Facts] = field(default_factory=dict)
    _reported: int = 0

    def __post_init__(self) -> None:
        own = self.folder.life
        self.places = [
            FoldFolder(Life(fold_folder(own.folder, fold), own.result), files=recipe.files)
            for fold, recipe in enumerate(self.recipes)
        ]

    @property
    def over(self) -> bool:
        """Whether all its folds have ended."""
        return len(self.done) == len(self.places)

    @property
    def so_far(self) -> list[Facts]:
        """The facts of the first folds, up to the first fold without a score."""
        found = []
        while len(found) in self.done and self.done[len(found)]["score"] is not None:
            found.append(self.done[len(found)])
        return found

    def reports(self) -> list[Reported]:
        """The mean after each fold, in the order of folds, as solo reports it; each once."""
        first, folds = self._reported, self.so_far
        self._reported = len(folds)
        return [
            Reported(self.job.number, mean_scores(folds[: fold + 1])[0], fold)
            for fold in range(first, len(folds))
        ]

    def go_on(self) -> None:
        """Take over what an earlier try of the trial has done."""
        for fold, place in enumerate(self.places):
            if (facts := take_over(self.job.resume_from, place.path)) is not None:
                self.done[fold] = facts

    def lane_file(self, fold: int) -> Path | None:
        """What an earlier try left of a fold, to go on from."""
        earlier = earlier_fold(self.job.resume_from, self.places[fold].path)
        return earlier and earlier / names.CHECKPOINTS / LANE

    def drop_best(self) -> None:
        """Remove the folds' checkpoints, and say so."""
        result = self.folder.life.result
        for fold in result.facts.get("folds", []):
            fold["checkpoint"] = None
        with suppress(OSError):  # where that cannot be written, what it says stays true
            result.write(self.folder.path)
            for place in self.places:
                remove_inside(place.path / BEST_CHECKPOINT)
