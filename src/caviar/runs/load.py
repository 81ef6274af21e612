"""``caviar.load``: a sweep as pandas tables, read from its run folders alone."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.errors import UsageError
from caviar.runs import folder as names
from caviar.runs import sweep_folder
from caviar.runs.find import find_sweep, inside
from caviar.runs.folder import Result

if TYPE_CHECKING:
    import pandas as pd

    from caviar.space.space import Space

_log = logging.getLogger(__name__)

FACTS = ("best_epoch", "seconds", "started", "seed", "checkpoint", "error", "retry_of")
"""Columns of `Sweep.trials` between the score and the hyperparameters."""


def load(name: str | Path) -> Sweep:
    """A sweep as tables: its trials, their metrics, and each run's config and checkpoint.

    Works while the sweep is under way. What cannot be read is left out, logged as a warning, and
    listed in `Sweep.problems`.

    Args:
        name: a folder, or what the ``caviar`` command takes: a name under outputs, ``latest``, ``-2``.

    Raises:
        UsageError: there is no such sweep.
    """
    return Sweep(find_sweep(str(name)))


@dataclass
class Run:
    """One run: its folder and what is in it, each file read when it is asked for.

    Attributes:
        folder: the run folder.
        within: the folder that its paths may not lead out of: its sweep's, or its own.
    """

    folder: Path
    within: Path | None = None

    @cached_property
    def result(self) -> Result:
        """``result.json``; raises UsageError where it cannot be read."""
        return Result.read(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config; empty where there is none."""
        found = _yaml(self.folder / names.CONFIG)
        return found if isinstance(found, dict) else {}

    @cached_property
    def overrides(self) -> list[str]:
        """What the run changed, as Hydra overrides."""
        found = _yaml(self.folder / names.OVERRIDES)
        return [str(line) for line in found] if isinstance(found, list) else []

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """``metrics.csv``: epoch, step, then a column a metric; no rows where there is none."""
        return _Metrics().read(None, self.folder, []).frame()

    @property
    def checkpoint(self) -> Path | None:
        """The best checkpoint; None where the run left none, or where the path leads elsewhere."""
        return checkpoint_of(self.result.checkpoint, self.folder, self.within or self.folder)

    @property
    def log(self) -> Path:
        """What the run printed, and the traceback of one that failed."""
        return self.folder / names.LOG


@dataclass
class Sweep:
    """A sweep, read from its folder.

    Attributes:
        folder: the sweep's folder.
        problems: what could not be read, a line each; complete once `trials` and `metrics` are read.
    """

    folder: Path
    problems: list[str] = field(default_factory=list)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """``sweep.yaml``: space, sampler, pruner, engine, executor, versions, git commit, …"""
        return sweep_folder.read(self.folder)

    @cached_property
    def space(self) -> Space:
        """What was searched; raises UsageError where ``sweep.yaml`` does not hold a space."""
        from caviar.space import grammar
        from caviar.space.space import Space

        reading = grammar.read(self.settings.get("space") or {}, [])

        def value_of(parent: str) -> Any:
            raise UsageError(f"{self.folder}: when names {parent}, which is not in the space")

        return Space.build(reading.hyperparameters, self.settings.get("when") or {}, value_of)

    @property
    def directions(self) -> list[str]:
        """One direction an objective: ``minimize`` or ``maximize``."""
        return sweep_folder.directions(self.settings)

    @property
    def metric(self) -> str | None:
        """The score's name, where it has one."""
        return self.settings.get("metric")

    @property
    def values(self) -> list[str]:
        """The columns of `trials` that hold the score: ``value``, or ``value_0``, ``value_1``, …"""
        several = len(self.directions)
        return ["value"] if several == 1 else [f"value_{index}" for index in range(several)]

    def column(self, hyperparameter: str) -> str:
        """The column of `trials` that holds a hyperparameter: its name, or ``params.NAME`` where the
        table has another column of that name."""
        name = hyperparameter.lstrip("+")
        return f"params.{name}" if name in ("state", *self.values, *FACTS) else name

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial, by number: state, value (``value_0``, ``value_1``, … where there are several
        objectives), best_epoch, seconds, started, seed, checkpoint, error, retry_of, then a column a
        hyperparameter, with the value that the run saw, missing where it did not exist."""
        import pandas as pd

        searched = [name.lstrip("+") for name in self.settings.get("space") or {}]
        rows = {number: self._row(result, number) for number, result in self.results.items()}
        seen = dict.fromkeys(searched)
        for result in self.results.values():
            seen.update(dict.fromkeys(_mapping(result.params)))
        columns = ["state", *self.values, *FACTS, *(self.column(name) for name in seen)]
        index = pd.Index(list(rows), name="trial", dtype="int64")
        data = {name: [row.get(name) for row in rows.values()] for name in columns}
        frame = pd.DataFrame(data, index=index, columns=pd.Index(columns), dtype=object)
        for name in (*self.values, "seconds"):
            frame[name] = pd.to_numeric(frame[name], errors="coerce").astype("float64")
        for name in ("best_epoch", "seed", "retry_of"):
            numbers = pd.to_numeric(frame[name], errors="coerce").astype("float64")
            frame[name] = numbers.where(numbers % 1 == 0).astype("Int64")
        frame["started"] = pd.to_datetime(
            frame["started"], errors="coerce", utc=True, format="ISO8601"
        )
        for name in seen:
            frame[self.column(name)] = _numeric(frame[self.column(name)])
        return frame

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row an epoch of a trial: trial, epoch, step, then a column a metric."""
        reader = _Metrics()
        for number, folder in self._folders.items():
            reader.read(number, folder, self.problems)
        return reader.frame()

    def run(self, number: int) -> Run:
        """A trial's run.

        Raises:
            UsageError: there is no such trial.
        """
        if number not in self._folders:
            raise UsageError(f"{self.folder.name}/{number}: no such trial")
        return Run(self._folders[number], within=self.folder)

    @cached_property
    def _folders(self) -> dict[int, Path]:
        found, foreign = sweep_folder.trial_folders(self.folder)
        for path in foreign:
            self._problem(f"{path}: not a trial's folder")
        return found

    @cached_property
    def results(self) -> dict[int, Result]:
        """Every trial's ``result.json`` that can be read, by number."""
        found = {}
        for number, folder in self._folders.items():
            try:
                found[number] = Result.read(folder)
            except (UsageError, OSError) as error:
                self._problem(str(error))
        return found

    def _row(self, result: Result, number: int) -> dict[str, Any]:
        if result.number not in (None, number):
            self._problem(
                f"{self._folders[number]}: its {names.RESULT} is of trial {result.number}"
            )
        scores = result.value if isinstance(result.value, list) else [result.value]
        folder = self._folders[number]
        checkpoint = checkpoint_of(result.checkpoint, folder, self.folder)
        if result.checkpoint and checkpoint is None:
            self._problem(f"{folder}: its checkpoint {result.checkpoint!r} is not in this sweep")
        return {
            "state": result.state,
            **dict(zip(self.values, scores, strict=False)),
            "best_epoch": result.best_epoch,
            "seconds": result.seconds,
            "started": result.started if isinstance(result.started, str) else None,
            "seed": result.seed,
            "checkpoint": str(checkpoint) if checkpoint else None,
            "error": result.error,
            "retry_of": _mapping(result.facts).get("retry_of"),
            **{self.column(name): value for name, value in _mapping(result.params).items()},
        }

    def _problem(self, text: str) -> None:
        _say(text, self.problems)


def checkpoint_of(recorded: Any, folder: Path, within: Path) -> Path | None:
    """Where a checkpoint is that a run in ``folder`` recorded; None where that leads out of ``within``."""
    if not isinstance(recorded, str) or not recorded:
        return None
    found = inside(folder / recorded, within)
    return found if found and found.exists() else None


class _Metrics:
    """Gathers ``metrics.csv`` files of any columns into one table."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {"epoch": [], "step": []}
        self._trials: list[int | None] = []

    def read(self, number: int | None, folder: Path, problems: list[str]) -> _Metrics:
        """Add a run's rows; what cannot be read is left out and said."""
        path = folder / names.METRICS
        try:
            text = path.read_text()
        except FileNotFoundError:
            return self
        except (OSError, ValueError) as error:
            _say(f"{path}: not readable ({error})", problems)
            return self
        # The last line of a run under way may be half a line: without its end it does not count.
        whole, _, _ = text.rpartition("\n")
        try:
            header, *rows = csv.reader(whole.splitlines()) if whole else [[]]
        except csv.Error as error:
            _say(f"{path}: not readable as CSV ({error})", problems)
            return self
        good = [row for row in rows if len(row) == len(header)]
        if len(good) < len(rows):
            _say(f"{path}: left out {len(rows) - len(good)} torn lines", problems)
        before = len(self._trials)
        self._trials += [number] * len(good)
        for name, cells in zip(header, zip(*good, strict=True), strict=False):
            if name != "trial":
                column = self._columns.setdefault(name, [])
                column += [None] * (before - len(column))
                column += [cell or None for cell in cells]
        for column in self._columns.values():
            column += [None] * (len(self._trials) - len(column))
        return self

    def frame(self) -> pd.DataFrame:
        """All rows: trial (where there are several runs), epoch, step, then the metrics; as numbers."""
        import pandas as pd

        data = {name: pd.Series(cells, dtype=object) for name, cells in self._columns.items()}
        frame = pd.DataFrame({name: _numbers(cells) for name, cells in data.items()})
        if not self._trials or self._trials[0] is not None:
            frame.insert(0, "trial", pd.Series(self._trials, dtype="int64"))
        return frame


def _numbers(cells: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_numeric(cells, errors="coerce").astype("float64")


def _numeric(cells: pd.Series) -> pd.Series:
    """A column as numbers where every cell is one; a column of booleans or of a mix stays as it is."""
    import pandas as pd

    present = cells.dropna()
    kinds = {type(cell) for cell in present}
    if not kinds or not kinds <= {int, float}:
        return cells
    if kinds == {int} and len(present) == len(cells):
        return cells.astype("int64")
    return pd.to_numeric(cells).astype("float64")


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path}: not readable ({' '.join(str(error).split())})") from None


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _say(text: str, problems: list[str]) -> None:
    if text not in problems:
        problems.append(text)
        _log.warning(text)
