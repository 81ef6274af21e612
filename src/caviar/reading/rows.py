"""Many runs as rows: what each is, and which columns tell them apart."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FACTS = [
    "run",
    "state",
    "value",
    "best_epoch",
    "seconds",
    "worker_seconds",
    "started",
    "seed",
    "metric",
    "edits",
    "tags",
]
"""Columns that every run has, first to last; ``value_0``, ``value_1``, … for several objectives."""
LAST = ["error", "edits_in_force", "checkpoint", "sweep", "number", "folder"]


@dataclass
class Row:
    """One run.

    Attributes:
        folder: the run folder.
        facts: columns that every run has; `FACTS` and `LAST`.
        params: the hyperparameters that a sweep searched, by name.
        overrides: what else the run changed, by key.
        metrics: every metric at the best epoch, and what other numbers the task recorded.
        config: further keys of the config, flat, once `add_configs` has read them.
    """

    folder: Path
    facts: dict[str, Any]
    params: dict[str, Any]
    overrides: dict[str, Any]
    metrics: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)

    def get(self, column: str) -> Any:
        """The value of a column; None where this run has none."""
        for part in (self.facts, self.params, self.overrides, self.metrics, self.config):
            if column in part:
                return part[column]
        return None


@dataclass
class Rows:
    """Runs, as they were when they were read.

    Attributes:
        rows: a row a run, as the folders come: single runs, then sweep after sweep, oldest first.
        problems: a line for each folder that is no run, or whose files cannot be read.
    """

    rows: list[Row]
    problems: list[str]

    def columns(self) -> list[str]:
        """Every column that some run has, in the order in which they are shown."""
        values = sorted(set(_names(self.rows, "facts")) - set(FACTS) - set(LAST))
        # A trial that failed has no score, and does not say of how many.
        if not values or any(row.facts.get("value") is not None for row in self.rows):
            values.insert(0, "value")
        found = [*FACTS[:2], *values, *FACTS[3:]]
        for part in ("params", "overrides", "metrics", "config"):
            found += [column for column in _names(self.rows, part) if column not in LAST]
        return [*dict.fromkeys(found), *LAST]

    def varying(self, shown: list[Row]) -> list[str]:
        """The columns that tell ``shown`` apart: how the runs went, what differs among them, and then
        what is of less interest where a terminal is narrow.

        Of each run's metrics there is the score alone; the others are there by name.
        """
        values = {c for c in _names(shown, "facts") if c[:5] == "value"} or {"value"}
        always = {"run", "state"} | values
        if any(row.facts["edits"] for row in shown):
            always.add("edits")  # not to be taken for runs that their configs alone made
        never = {*_names(shown, "metrics")} | {"started", *LAST} - {"error"}

        def varies(column: str) -> bool:
            first = _hashable(shown[0].get(column))
            return any(_hashable(row.get(column)) != first for row in shown)

        if all(row.get("worker_seconds") in (row.get("seconds"), None) for row in shown):
            never.add("worker_seconds")  # none shared its worker

        found = [
            c for c in self.columns() if c in always or (shown and c not in never and varies(c))
        ]
        searched = {*_names(shown, "params"), *_names(shown, "overrides")}
        return sorted(found, key=lambda c: 0 if c in always else 1 if c in searched else 2)


def by_sweep(sweeps: Iterable[Path], rows: Iterable[Row]) -> list[tuple[Path, list[Row]]]:
    """Each sweep's folder with the rows of its trials."""
    # As text: a path's parents cost more than all the rest of a listing.
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(os.path.dirname(os.path.dirname(row.folder)), []).append(row)
    return [(sweep, found.get(str(sweep), [])) for sweep in sweeps]


def _names(rows: Iterable[Row], part: str) -> list[str]:
    """The columns in a part of the rows, each once, in the order in which they are met."""
    # Thousands of runs have the same few columns: each set of them is looked at once.
    kinds = dict.fromkeys(tuple(getattr(row, part)) for row in rows)
    return list(dict.fromkeys(name for names in kinds for name in names))


def _hashable(value: Any) -> Any:
    # NaN is not itself, True is 1 and 1 is 1.0; a column that has one of each varies.
    return (type(value), value) if value == value else "nan"
