"""What a sweep left, in the tables that verdicts and figures are drawn from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from caviar.base.configs import value_at
from caviar.base.direction import sign_of
from caviar.base.scoring import averaged, is_score
from caviar.confirm.results import confirmed
from caviar.reading.sweep import Sweep
from caviar.reports.again import follow_up
from caviar.runs.folder import repeated
from caviar.runs.places import typed
from caviar.space.hyperparameters import Choice, Hyperparameter
from caviar.space.space import Space
from caviar.zoom.coordinates import position
from caviar.zoom.next_space import no_fault

_SHARE = re.compile(r"acc|auroc|auc|f1|precision|recall|r2", re.I)
"""Names of metrics that are at most 1."""

_SEED = re.compile(r"(^|[._+])seed$")

Curve = np.ndarray
"""A metric after each epoch, shape ``(epochs,)``, without the epochs that did not log it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables of one sweep, as verdicts read them; one equals itself alone.

    Attributes:
        name: the sweep's folder, as commands take it.
        settings: what ``sweep.yaml`` holds.
        space: what was searched.
        directions: one an objective.
        metric: the score's name.
        trials: as `caviar.reading.sweep.Sweep.trials`, and where it is known the columns
            ``tested`` and ``baseline``: empty, or ``inside`` or ``outside`` of the space.
        metrics: as `caviar.reading.sweep.Sweep.metrics`.
        config: the best trial's config.
        ours: see `caviar.runs.ours`.
        earlier: trials of other sweeps that this one began with: state, value and hyperparameters.
        confirmed: whether its best trials were confirmed by fresh seeds.
    """

    name: str
    settings: dict[str, Any]
    space: Space
    directions: list[str]
    metric: str | None
    trials: pd.DataFrame
    metrics: pd.DataFrame
    config: dict[str, Any] = field(default_factory=dict)
    ours: bool = False
    confirmed: bool = False
    earlier: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, sweep: Sweep) -> Evidence:
        """Read what verdicts need from a loaded sweep."""
        again = repeated(result.facts for result in sweep.results)
        trials = sweep.trials.drop(index=list(again.intersection(sweep.numbers)))
        # No seed is better than another: a searched one is a repetition, not a hyperparameter.
        searched = [h for h in sweep.space.hyperparameters if not _SEED.search(h.name)]
        for h in searched:
            if not isinstance(h, Choice):
                # A damaged record may hold anything.
                column = sweep.column(h.name)
                trials[column] = pd.to_numeric(trials[column], errors="coerce")
        trials["tested"] = [bool(sweep.run(n).result.facts.get("tested")) for n in trials.index]
        trials["baseline"] = ""
        for number in trials.index:
            result = sweep.run(number).result
            if result.facts.get("baseline"):
                inside = sweep.space.holds(sweep.values(result))
                trials.loc[number, "baseline"] = "inside" if inside else "outside"
        found = cls(
            typed(sweep.folder),
            sweep.settings,
            Space(tuple(searched), sweep.space.conditions),
            sweep.directions,
            sweep.metric,
            trials,
            sweep.metrics,
            ours=sweep.ours,
            confirmed=bool(confirmed(sweep.folder)),
            earlier=_earlier(sweep),
        )
        numbers = list(found.complete.index[:1])
        config = sweep.run(numbers[0]).config if numbers else {}
        return replace(found, config=config)

    @cached_property
    def sign(self) -> float:
        """Times a score, it gives a loss."""
        return float(sign_of(next(iter(self.directions), None)))

    @cached_property
    def averaged(self) -> int | None:
        """How many last epochs a score is the mean of; None where it is the best one's."""
        score = self.config.get("score")
        return averaged(str(score)) if is_score(score) else None

    @cached_property
    def least(self) -> float:
        """The least loss that there can be: of an accuracy and its like -1."""
        return -1.0 if self.sign < 0 and _SHARE.search(self.metric or "") else -math.inf

    @cached_property
    def complete(self) -> pd.DataFrame:
        """Complete trials with a finite score, the best first, with a column ``loss``; none where
        there are several objectives. A baseline outside the space is not among them.
        """
        table = self.trials
        if "baseline" in table:
            table = table[table["baseline"] != "outside"]
        if len(self.directions) != 1 or "value" not in table:
            return table.iloc[:0].assign(loss=[])
        table = table[(table["state"] == "COMPLETE") & np.isfinite(table["value"].astype(float))]
        table = table.assign(loss=self.sign * table["value"].astype(float))
        return table.sort_values("loss", kind="stable")

    @cached_property
    def default(self) -> int | None:
        """The number of the baseline, where it is complete and there is one objective."""
        if len(self.directions) != 1 or "baseline" not in self.trials:
            return None
        ended = (self.trials["state"] == "COMPLETE") & self.trials["value"].notna()
        found = self.trials.index[ended & (self.trials["baseline"] != "")]
        return int(found[-1]) if len(found) else None

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """All trials whose end says something of their values, the best first: those that are complete,
        then those that were pruned, the later the better and then by their last score, then those that
        failed of themselves. Those that this sweep began with are among the complete.
        """
        complete, table = self.complete, self.trials
        if len(self.directions) != 1 or "value" not in table:
            return complete
        last = self.metrics.groupby("trial")["epoch"].max() if len(self.metrics) else pd.Series()
        if len(self.earlier):
            before = self.earlier[self.earlier["state"] == "COMPLETE"]
            before = before.assign(loss=self.sign * before["value"].astype(float))
            complete = pd.concat([complete, before]).sort_values("loss", kind="stable")
        pruned = table[table["state"] == "PRUNED"]
        pruned = pruned.assign(
            lasted=-pd.Series(last.reindex(pruned.index), dtype=float).fillna(0),
            loss=self.sign * pruned["value"].astype(float),
        ).sort_values(["lasted", "loss"], kind="stable")
        failed = table[table["state"] == "FAIL"]
        failed = failed[~failed["error"].map(no_fault).astype(bool)]
        others = [part.astype(object) for part in (pruned, failed) if len(part)]
        return pd.concat([complete, *others]) if others else complete

    @cached_property
    def top(self) -> pd.DataFrame:
        """The best tenth of the complete trials, at least 5 where there are so many."""
        return self.complete.head(max(5, round(len(self.complete) / 10)))

    def column(self, h: Hyperparameter) -> str:
        """The column of a hyperparameter in `trials`."""
        plain = h.name.lstrip("+")
        return f"params.{plain}" if f"params.{plain}" in self.trials else plain

    def ranked_positions(self, h: Hyperparameter) -> pd.Series:
        """Where the `ranked` trials lie on the hyperparameter's own scale, 0 to 1, the best trial first;
        those without it are left out.
        """
        values = self.ranked.get(self.column(h), self.complete["loss"][:0]).dropna()
        return values.map(lambda value: place(h, value)).astype(float).dropna()

    def curve(self, number: int, metric: str) -> Curve:
        """A trial's metric after each epoch; empty where it was not logged."""
        return _curves(self, metric).get(number, np.array([]))

    def twin(self, metric: str | None) -> str | None:
        """The training metric beside a validation metric: ``train/acc`` beside ``val/acc``."""
        found = metric.replace("val", "train") if metric else None
        return found if found and found != metric and found in self.metrics else None

    def rerun(self, *overrides: str) -> str | None:
        """The command that started the sweep, with other overrides, where `follow_up` gives one."""
        return follow_up(self.settings, overrides, self.ours)

    def config_value(self, key: str) -> Any:
        """What the best trial's config has under a dotted key; None where it has no such key."""
        return value_at(self.config, key)

    def has(self, key: str) -> bool:
        """Whether the best trial's config has a dotted key."""
        parent, _, last = key.rpartition(".")
        node = self.config_value(parent) if parent else self.config
        return isinstance(node, dict) and last in node


@lru_cache(maxsize=4)
def _curves(evidence: Evidence, metric: str) -> dict[int, Curve]:
    if metric not in evidence.metrics:
        return {}
    table = evidence.metrics[["trial", "epoch", metric]].dropna()
    table = table.groupby(["trial", "epoch"], sort=True)[metric].last()
    trials = table.index.get_level_values("trial").to_numpy()
    starts = np.flatnonzero(np.diff(trials, prepend=trials[:1] - 1))
    curves = np.split(table.to_numpy(float), starts[1:])
    return {int(trials[start]): curve for start, curve in zip(starts, curves, strict=False)}


def _earlier(sweep: Sweep) -> pd.DataFrame:
    """The trials that a sweep began with, numbered below 0; a row each."""
    rows = [
        {
            "state": one.state,
            "value": one.values[0] if one.values else math.nan,
            **{sweep.column(name): value for name, value in one.params.items()},
        }
        for one in sweep.earlier
    ]
    return pd.DataFrame(rows, index=range(-len(rows), 0))


def place(h: Hyperparameter, value: Any) -> float:
    """The position of a value on its hyperparameter's scale, 0 to 1; NaN for one that has none.

    A value outside the space, as of a trial from before its bounds were changed, is at the nearest end.
    """
    try:
        if isinstance(h, Choice):
            return float([h.to_study(o) for o in h.options].index(h.to_study(value)))
        return min(max(float(position(h, value)), 0.0), 1.0)
    except (ValueError, TypeError, OverflowError):
        return math.nan
