"""A sweep read back from its folder: ``caviar.load("latest").trials`` as a table, its space, its best."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.base.direction import directions, no_best, sign
from caviar.base.errors import UsageError
from caviar.base.objectives import labels
from caviar.reading.metrics import read_metrics
from caviar.reading.run import Run, say_skipped
from caviar.runs.cost import worker_seconds
from caviar.runs.edits import edits_table
from caviar.runs.folder import RESULT, Result, number_of
from caviar.runs.history import Earlier, read_history
from caviar.runs.ours import is_signed
from caviar.runs.places import SWEEP_FILE, trial_folders
from caviar.runs.sweep_file import read_sweep_file

if TYPE_CHECKING:
    from pandas import DataFrame

    from caviar.space.space import Space

FACTS = [
    *("state", "value", "best_epoch", "seconds", "worker_seconds", "started", "seed", "edits"),
    *("checkpoint", "error"),
]
"""Columns of `Sweep.trials` before the hyperparameters; ``value`` is several for several objectives."""


class Sweep:
    """One sweep, read from its folder; each table is read when it is first asked for.

    Attributes:
        folder: the sweep's folder.
        settings: what ``sweep.yaml`` holds.
        problems: a line for each file that could not be used, as far as files were read.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any] | None = None,
        warn: Callable[[list[str]], None] = say_skipped,
    ) -> None:
        """Take up the sweep in ``folder``.

        Args:
            settings: what its ``sweep.yaml`` holds, where that has been read.
            warn: gets the lines of `problems` as they are found.
        """
        self.folder = folder
        self.problems: list[str] = []
        self._warn = warn
        self.settings: dict[str, Any] = settings or {}
        try:
            if settings is None:
                self.settings = read_sweep_file(folder)
            if not self.directions:
                self._skip([f"{folder}: {no_best(self.settings)}"])
        except UsageError as error:
            self._skip([str(error)])

    @classmethod
    def whole(cls, folder: Path) -> Sweep:
        """A sweep of which every file must be readable.

        Raises:
            UsageError: it is not a sweep's folder, or a file in it is not readable; the latter also when
                that is first read.
        """
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
        return cls(folder, read_sweep_file(folder, whole=True), _refuse)

    def __repr__(self) -> str:
        return f"<Sweep {self.folder.name}: {len(self._results)} trials in {self.folder}>"

    @cached_property
    def ours(self) -> bool:
        """Whether this user's caviar made it here (`caviar.runs.ours`)."""
        return is_signed(self.folder, SWEEP_FILE)

    @property
    def metric(self) -> str | None:
        """The score's name, where it has one; of several objectives, the first's."""
        found = self.settings.get("metric")
        found = found[0] if isinstance(found, list) and found else found
        return None if found is None else str(found)

    @property
    def labels(self) -> list[str]:
        """What each objective's score is called."""
        metric = self.settings.get("metric")
        return labels(metric if isinstance(metric, str | list) else None, len(self.directions))

    @property
    def directions(self) -> list[str]:
        """``minimize`` or ``maximize``, one an objective; none where that is not known (any more)."""
        return directions(self.settings)

    @property
    def sign(self) -> int:
        """Times a score, it gives a loss.

        Raises:
            UsageError: the sweep has several objectives, or it is not known which direction is better.
        """
        signed = sign(self.settings)
        if signed is None:
            raise UsageError(f"{self.folder}: {no_best(self.settings)}; this needs one objective")
        return signed

    @cached_property
    def space(self) -> Space:
        """The space that was searched, as far as ``sweep.yaml`` can be read."""
        from caviar.space.grammar import read
        from caviar.space.space import Space

        try:
            found = read(self.settings.get("space") or {}, []).hyperparameters
            return Space.build(found, self.settings.get("when") or {}, lambda parent: None)
        except (UsageError, AttributeError, TypeError) as error:
            self._skip([f"{self.folder / SWEEP_FILE}: its space is not readable ({error})"])
            return Space(())

    @property
    def results(self) -> list[Result]:
        """What the trials' ``result.json`` hold, by number."""
        return [self._results[number][1] for number in self.numbers]

    @property
    def ranked(self) -> list[Run]:
        """Complete trials, the best first; of equals, the one with the lowest number.

        Raises:
            UsageError: see `sign`.
        """
        sign = self.sign
        complete = [r for r in map(self.run, self.numbers) if r.result.state == "COMPLETE"]
        scored = [run for run in complete if not math.isnan(run.score)]
        return sorted(scored, key=lambda run: sign * run.score)

    def values(self, result: Result) -> dict[str, Any]:
        """A trial's values under the names that the space has (``+key`` for an added one)."""
        names = {h.name.lstrip("+"): h.name for h in self.space.hyperparameters}
        return {names[key]: value for key, value in result.params.items() if key in names}

    @cached_property
    def earlier(self) -> list[Earlier]:
        """The trials of earlier sweeps that it began with (``hydra.sweeper.history``)."""
        try:
            return read_history(self.folder)
        except UsageError as error:
            self._skip([str(error)])
            return []

    @property
    def numbers(self) -> list[int]:
        """The trials there are, by number."""
        return sorted(self._results)

    def run(self, number: int) -> Run:
        """One trial's run.

        Raises:
            UsageError: the sweep has no such trial, or its ``result.json`` cannot be read.
        """
        if number not in self._results:
            raise UsageError(f"run={self.folder.name}/{number}: no such trial that can be read")
        return Run(*self._results[number])

    @cached_property
    def trials(self) -> DataFrame:
        """A row a trial, by number: state, value, best_epoch, seconds, worker_seconds, started, seed,
        edits, checkpoint, error, then a column a hyperparameter, as the run saw it; missing where it did
        not exist.

        ``edits`` counts what was changed while the trial trained (see `edits`): above 0 its
        hyperparameters alone did not make it.

        With several objectives ``value`` is ``value_0``, ``value_1``, …; ``seconds`` are the task's
        alone, ``worker_seconds`` its share of its worker's (`caviar.runs.cost`); ``started`` is in UTC. A
        hyperparameter called like another column is ``params.NAME``.
        """
        import pandas as pd

        scores, edited = self._values, self.edits.groupby("trial")["edit"].nunique().to_dict()
        wanted = map(str, self.settings.get("space") or {})
        seen = (name for result in self.results for name in result.params)
        searched = {name: self.column(name) for name in dict.fromkeys([*wanted, *seen])}
        columns = list(dict.fromkeys([*self._fixed, *searched.values()]))
        rows = []
        for number, result in zip(self.numbers, self.results, strict=True):
            row: dict[str, Any] = {name: getattr(result, name, None) for name in FACTS}
            row["worker_seconds"] = worker_seconds(result.seconds, result.facts)
            row["edits"] = edited.get(number, 0)
            values = result.value if isinstance(result.value, list) else [result.value]
            row |= zip(scores, values, strict=False)
            rows.append(row | {searched[name]: held for name, held in result.params.items()})
        index = pd.Index(self.numbers, name="trial", dtype="int64")
        table = pd.DataFrame(rows, index=index, columns=columns)
        for name in [*scores, "seconds", "worker_seconds"]:
            table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
        for name in ("best_epoch", "seed", "edits"):
            numbers = pd.to_numeric(table[name], errors="coerce")
            table[name] = numbers.where(numbers % 1 == 0).astype("Int64")
        table["started"] = pd.to_datetime(
            table["started"], utc=True, errors="coerce", format="ISO8601"
        )
        return table

    @cached_property
    def metrics(self) -> DataFrame:
        """All trials' metrics: columns trial, epoch, step, then one a metric."""
        table, problems = read_metrics((n, self._results[n][0]) for n in self.numbers)
        self._skip(problems)
        return table

    @cached_property
    def edits(self) -> DataFrame:
        """What was changed while trials trained, and no rollback has undone: a row a change, with columns
        trial, edit, kind, epoch, batch, step, key, old, new, who, when, why.
        """
        table, problems = edits_table((n, self._results[n][0]) for n in self.numbers)
        self._skip(problems)
        return table

    def column(self, name: str) -> str:
        """The column of `trials` that holds the hyperparameter ``name``."""
        plain = name.lstrip("+")
        return f"params.{plain}" if plain in self._fixed else plain

    @cached_property
    def _results(self) -> dict[int, tuple[Path, Result]]:
        found: dict[int, tuple[Path, Result]] = {}
        problems = []
        try:
            folders = trial_folders(self.folder)
        except UsageError as error:
            folders = []
            problems.append(str(error))
        for folder in folders:
            if self._warn is _refuse and not (folder / RESULT).exists():
                continue  # of a trial that was only just asked for
            try:
                result = Result.read(folder)
            except UsageError as error:
                problems.append(str(error))
                continue
            number = number_of(folder, result)
            if number is None:
                problems.append(f"{folder}: no trial number")
            elif number in found:
                problems.append(f"{folder}: trial {number} is in {found[number][0].name} already")
            else:
                found[number] = (folder, result)
        self._skip(problems)
        return found

    @cached_property
    def _values(self) -> list[str]:
        lists = [len(one.value) for one in self.results if isinstance(one.value, list)]
        count = len(self.directions) or max(lists, default=1)
        return ["value"] if count == 1 else [f"value_{index}" for index in range(count)]

    @property
    def _fixed(self) -> list[str]:
        return [FACTS[0], *self._values, *FACTS[2:]]

    def _skip(self, problems: list[str]) -> None:
        self.problems += problems
        self._warn(problems)


def _refuse(problems: list[str]) -> None:
    if problems:
        raise UsageError(problems[0])
