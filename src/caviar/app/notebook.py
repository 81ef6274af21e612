"""What a notebook asks of a sweep or of a run: ``caviar.load("latest").best.predict(frame)``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial
from html import escape
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from caviar.base.errors import UsageError, usage_error
from caviar.reading.find import find, find_run, find_sweep
from caviar.reading.run import Run
from caviar.reading.sweep import Sweep
from caviar.runs.folder import Result
from caviar.runs.places import is_sweep

if TYPE_CHECKING:
    import optuna
    from lightning.pytorch import LightningModule
    from pandas import DataFrame

SHOWN = 10
"""Trials that a notebook shows of a sweep."""


_AS_WRITTEN: dict[str, Any] = {
    "sep": ",", "decimal": ".", "thousands": None, "encoding": "utf-8",
}  # fmt: skip
"""How pandas writes a table, however the one that a run was trained on was written."""


class LoadedRun(Run):
    """A run, its module and what that says of new rows."""

    def module(self) -> LightningModule:
        """The module at its best epoch, made anew from the config, on the CPU, ready to evaluate.

        Raises:
            UsageError: see `caviar.lightning.saved.open_run`.
        """
        from caviar.lightning.saved import open_run

        return open_run(self.folder).module

    def predict(self, rows: DataFrame | str | Path | None = None) -> DataFrame:
        """What the module says of rows: the table that ``caviar predict`` writes, a row for each.

        Args:
            rows: a table with the columns that the run was trained on, or the file that it is in; None:
                what the data's own ``predict_dataloader`` has.

        Raises:
            UsageError: the run or the rows cannot be read.
        """
        from caviar.lightning.predict import predictions

        if rows is None or isinstance(rows, str | Path):
            return predictions(str(self.folder), None if rows is None else str(rows))
        with TemporaryDirectory(prefix="caviar-") as folder:
            path = f"{folder}/rows.csv"
            rows.to_csv(path, index=False)
            return predictions(str(self.folder), path, **_AS_WRITTEN)

    def _repr_html_(self) -> str:
        result = self.result
        score = result.metric if isinstance(result.metric, str) else "value"
        facts = {"state": result.state, score: result.value, **result.params}
        cells = "".join(
            f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
            for name, value in facts.items()
        )
        return f"<p>run <b>{escape(str(self.folder))}</b></p><table>{cells}</table>"


class LoadedSweep(Sweep):
    """A sweep, what came of it, and Optuna's view of it."""

    def run(self, number: int) -> LoadedRun:
        """One trial, as a run that can predict; raises as `Sweep.run`."""
        found = super().run(number)
        return LoadedRun(found.folder, found.result)

    @property
    def best(self) -> LoadedRun:
        """The best complete trial; of equals, the one with the lowest number.

        Raises:
            UsageError: no trial is complete, or the sweep has several objectives.
        """
        if not self.ranked:
            raise UsageError(f"{self.folder}: no trial of this sweep is complete")
        best = self.ranked[0]
        return LoadedRun(best.folder, best.result)

    @cached_property
    def verdicts(self) -> DataFrame:
        """What the sweep means: columns name, status, sentence, next (a command, or None)."""
        import pandas as pd

        from caviar.reports.data import verdicts

        return pd.DataFrame(verdicts(self), columns=["name", "status", "sentence", "next"])

    @cached_property
    def study(self) -> optuna.Study:
        """The sweep as a study in memory: for `optuna.visualization`, importances, another sampler.

        A trial whose values lie outside the space (a default may) has no parameters there.

        Raises:
            UsageError: it is not known which direction is better.
        """
        import optuna

        if not self.directions:
            raise UsageError(f"{self.folder}: its sweep.yaml names no direction")
        ways = [optuna.study.StudyDirection[way.upper()] for way in self.directions]
        loud = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell that it made one
        try:
            study = optuna.create_study(directions=ways, study_name=self.folder.name)
        finally:
            optuna.logging.set_verbosity(loud)
        study.add_trials([self._frozen(number) for number in self.numbers])
        return study

    @property
    def plot(self) -> Plots:
        """Figures of `study`: ``sweep.plot.parallel_coordinate()``, ``sweep.plot.slice(params=["lr"])``."""
        return Plots(self.study)

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        from optuna.trial import TrialState, create_trial

        result = self.run(number).result
        values = self.values(result)
        drawn = values if values and self.space.holds(values) else {}
        known = {h.name: h for h in self.space.hyperparameters if h.name in drawn}
        numbers = result.value if isinstance(result.value, list) else [result.value]
        scores = [float(v) for v in numbers if isinstance(v, int | float) and not math.isnan(v)]
        complete = result.state == "COMPLETE" and len(scores) == len(self.directions)
        state = TrialState.COMPLETE if complete else TrialState.FAIL
        if result.state == "PRUNED":
            state = TrialState.PRUNED
        steps = self._steps(number)
        return create_trial(
            state=state,
            values=scores if complete else None,
            params={h.study_name: h.to_study(drawn[name]) for name, h in known.items()},
            distributions={h.study_name: h.distribution for h in known.values()},
            intermediate_values=steps,
            user_attrs={"number": number},
        )

    def _steps(self, number: int) -> dict[int, float]:
        """The score after each epoch, where the run logged it."""
        metric = self.metric
        if metric is None or metric not in self.metrics:
            return {}
        its = self.metrics.loc[self.metrics["trial"] == number, ["epoch", metric]].dropna()
        return {int(epoch): float(value) for epoch, value in its.itertuples(index=False)}

    def _repr_html_(self) -> str:
        trials = self.trials
        if len(self.directions) == 1:
            trials = trials.sort_values("value", ascending=self.directions[0] == "minimize")
        lines = [f"<p>sweep <b>{escape(self.folder.name)}</b>: {len(trials)} trials</p>"]
        columns = [c for c in trials.columns if c not in ("checkpoint", "started", "seed", "error")]
        lines.append(trials[columns].head(SHOWN).to_html(float_format="{:.4g}".format))
        return "".join(lines)


class Plots:
    """Optuna's figures of one study, without ``plot_``: of plotly, shown by a notebook as they are."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __dir__(self) -> list[str]:
        names = import_module("optuna.visualization").__all__
        return [name.removeprefix("plot_") for name in names if name.startswith("plot_")]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in dir(self):
            raise AttributeError(str(usage_error("plot", name, "no such figure", dir(self))))
        return partial(getattr(import_module("optuna.visualization"), f"plot_{name}"), self._study)


def load(path_or_name: str | Path) -> Any:
    """Read a sweep or a run: by path, by its name under the outputs folder; ``latest`` is a sweep.

    Raises:
        UsageError: there is none of this name.
    """
    if str(path_or_name) == "latest":
        return LoadedSweep(find_sweep(path_or_name))
    folder = find(path_or_name)
    return LoadedSweep(folder) if is_sweep(folder) else load_run(folder)


def load_run(path_or_name: str | Path) -> LoadedRun:
    """Read one run: by path, by name, as ``best`` or ``SWEEP/7``.

    Raises:
        UsageError: there is no such run, or its ``result.json`` cannot be read.
    """
    folder = find_run(path_or_name)
    return LoadedRun(folder, Result.read(folder))
