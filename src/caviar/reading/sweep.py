"""A sweep as pandas tables, read from its run folders alone: ``caviar.load("latest").trials``."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.base.direction import directions, no_best
from caviar.base.errors import UsageError
from caviar.base.objectives import labels
from caviar.reading.find import find_run, find_sweep, read_sweep_file
from caviar.reading.metrics import read_metrics
from caviar.reading.run import Run, say_skipped
from caviar.runs.edits import edits_table
from caviar.runs.folder import Result, number_of
from caviar.runs.ours import is_signed
from caviar.runs.places import SWEEP_FILE, trial_folders

if TYPE_CHECKING:
    from pandas import DataFrame

    from caviar.space.space import Space

FACTS = [
    *("state", "value", "best_epoch", "seconds", "started", "seed", "edits", "checkpoint", "error"),
]
"""Columns of `Sweep.trials` before the hyperparameters; ``value`` is several for several objectives."""

_READ = [name for name in FACTS if name not in ("value", "edits")]


def load(path_or_name: str | Path) -> Sweep:
    """Read a sweep: by path, by its name under the outputs folder, or ``latest``.

    Raises:
        UsageError: there is no such sweep, or it is a run (see `load_run`).
    """
    return Sweep(find_sweep(path_or_name))


def load_run(path_or_name: str | Path) -> Run:
    """Read one run: by path, by name, as ``best`` or ``SWEEP/7``.

    Raises:
        UsageError: there is no such run, or its ``result.json`` cannot be read.
    """
    folder = find_run(path_or_name)
    return Run(folder, Result.read(folder))


class Sweep:
    """One sweep, read from its folder; each table is read when it is first asked for.

    Attributes:
        folder: the sweep's folder.
        settings: what ``sweep.yaml`` holds.
        problems: a line for each file that could not be used, as far as files were read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        try:
            self.settings: dict[str, Any] = read_sweep_file(folder)
        except UsageError as error:
            self.settings = {}
            self._skip([str(error)])
        else:
            if not self.directions:
                self._skip([f"{folder}: {no_best(self.settings)}"])

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

    @cached_property
    def space(self) -> Space:
        """The space that was searched, as far as ``sweep.yaml`` can be read."""
        from caviar.space.grammar import read
        from caviar.space.space import Space

        try:
            found = read(self.settings.get("space") or {}, []).hyperparameters
            conditions = {
                child: {parent: tuple(allowed) for parent, allowed in parents.items()}
                for child, parents in (self.settings.get("when") or {}).items()
            }
        except (UsageError, AttributeError, TypeError) as error:
            self._skip([f"{self.folder / 'sweep.yaml'}: its space is not readable ({error})"])
            return Space(())
        return Space(tuple(found), conditions)

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
        """A row a trial, by number: state, value, best_epoch, seconds, started, seed, edits, checkpoint,
        error, then a column a hyperparameter, as the run saw it; missing where it did not exist.

        ``edits`` counts what was changed while the trial trained (see `edits`): above 0 its
        hyperparameters alone did not make it.

        With several objectives ``value`` is ``value_0``, ``value_1``, …; ``seconds`` are the task's
        alone; ``started`` is in UTC. A hyperparameter called like another column is ``params.NAME``.
        """
        import pandas as pd

        searched, numbers = self._searched, self.numbers
        columns = list(dict.fromkeys([*self._fixed, *searched.values()]))
        rows = [self._row(number, searched) for number in numbers]
        index = pd.Index(numbers, name="trial", dtype="int64")
        table = pd.DataFrame(rows, index=index, columns=columns)
        for name in [*self._values, "seconds"]:
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

    @cached_property
    def _edited(self) -> dict[int, int]:
        """How many edits are in force, by trial."""
        return self.edits.groupby("trial")["edit"].nunique().to_dict()

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

    @property
    def _values(self) -> list[str]:
        results = (result.value for _, result in self._results.values())
        lists = [len(value) for value in results if isinstance(value, list)]
        count = len(self.directions) or max(lists, default=1)
        return ["value"] if count == 1 else [f"value_{index}" for index in range(count)]

    @property
    def _fixed(self) -> list[str]:
        return [FACTS[0], *self._values, *FACTS[2:]]

    @property
    def _searched(self) -> dict[str, str]:
        """The column of each hyperparameter that was to be searched, or that a trial has."""
        wanted = (str(name) for name in _mapping(self.settings.get("space")))
        seen = (name for _, result in self._results.values() for name in _mapping(result.params))
        return {name: self.column(name) for name in dict.fromkeys([*wanted, *seen])}

    def _row(self, number: int, searched: dict[str, str]) -> dict[str, Any]:
        _, result = self._results[number]
        values = result.value if isinstance(result.value, list) else [result.value]
        row: dict[str, Any] = {name: getattr(result, name) for name in _READ}
        row["edits"] = self._edited.get(number, 0)
        row |= zip(self._values, values, strict=False)
        row |= {searched[name]: value for name, value in _mapping(result.params).items()}
        return row

    def _skip(self, problems: list[str]) -> None:
        self.problems += problems
        say_skipped(problems)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
