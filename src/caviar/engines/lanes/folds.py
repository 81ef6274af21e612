"""A trial of several folds, each on a lane of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caviar.base.messages import Job, Reported
from caviar.engines.experiment import Called, Recipe
from caviar.engines.lanes.run_folder import BEST, LANE, RunFolder
from caviar.runs import folder as names
from caviar.runs.folds import Facts, fold_folder, mean_scores, read_fold, write_fold
from caviar.runs.inside import copy_folder, make_folders, remove_inside


@dataclass
class FoldFolder(RunFolder):
    """One fold's folder in its trial's: what is not said of each fold stands in the trial's own."""

    def begin(self) -> None:
        try:
            if not self._made:
                self._make()
        except Exception as error:
            self.error = self.error or error

    def done(
        self, rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, facts: Facts
    ) -> None:
        """Write all that is still to be written, ``fold.json`` last."""
        self.begin()
        self._rows(rows)
        if best is not None:
            self.checkpoint(Path(BEST).name, best)
        try:
            remove_inside(self.path / names.CHECKPOINTS / LANE)
            if self.error is None:
                write_fold(self.path, facts)
        except Exception as error:
            self.error = self.error or error

    def _make(self) -> None:
        self._made = True
        make_folders(self.path)
        self._write_files()


@dataclass(eq=False)
class Folded:
    """A trial while its folds train.

    Attributes:
        folder: the trial's own; ``places``: those of its folds.
        began: when one of its folds first got a lane, by `time.perf_counter`; None before that.
        done: by fold, what those that have ended came to.
    """

    job: Job
    folder: RunFolder
    recipes: Sequence[Recipe | Called]
    began: float | None = None
    places: list[FoldFolder] = field(init=False)
    done: dict[int, Facts] = field(default_factory=dict)
    _reported: int = 0

    def __post_init__(self) -> None:
        self.places = [
            FoldFolder(fold_folder(self.folder.path, fold), self.folder.result, files=recipe.files)
            for fold, recipe in enumerate(self.recipes)
        ]

    @property
    def over(self) -> bool:
        """Whether all its folds have ended."""
        return len(self.done) == len(self.places)

    @property
    def complete(self) -> bool:
        """Whether each fold has a score."""
        return len(self.so_far) == len(self.places)

    @property
    def so_far(self) -> list[Facts]:
        """Those of the first folds that have a score, as far as none before them is missing."""
        found = []
        while len(found) in self.done and self.done[len(found)]["score"] is not None:
            found.append(self.done[len(found)])
        return found

    @property
    def error(self) -> Exception | None:
        """What kept a fold's files from being written."""
        return next((place.error for place in self.places if place.error), None)

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
        if self.job.resume_from is None:
            return
        for fold, place in enumerate(self.places):
            earlier = fold_folder(Path(self.job.resume_from).parent, fold)
            facts = read_fold(earlier)
            if facts is None:
                continue
            if earlier != place.path:
                copy_folder(earlier, place.path)
            self.done[fold] = facts

    def lane_file(self, fold: int) -> Path | None:
        """What an earlier try left of a fold, to go on from."""
        if self.job.resume_from is None:
            return None
        earlier = fold_folder(Path(self.job.resume_from).parent, fold)
        return earlier / names.CHECKPOINTS / LANE

    def drop_best(self) -> None:
        """Remove the folds' checkpoints, and say so."""
        result = self.folder.result
        for told in result.facts.get("folds", []):
            told["checkpoint"] = None
        with suppress(OSError):  # where that cannot be written, what it says stays true
            result.write(self.folder.path)
            for place in self.places:
                remove_inside(place.path / BEST)
