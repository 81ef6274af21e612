"""What the report's page shows of a sweep, as plain data for JSON."""

from __future__ import annotations

import math
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.errors import UsageError
from caviar.reports.importance import shares
from caviar.reports.look import Look
from caviar.reports.one_run import OneRun
from caviar.reports.verdicts.base import Evidence
from caviar.reports.verdicts.registry import judge
from caviar.reports.words import printable
from caviar.runs import folder as names
from caviar.runs.compare import rerun_command
from caviar.runs.edits import in_force, read_edits
from caviar.runs.find import from_here
from caviar.space.hyperparameters import Choice, Interval, Range

if TYPE_CHECKING:
    from caviar.runs.load import Run, Sweep

POINTS = 200_000
"""Numbers of learning curves that a page holds, of all metrics together: about 1.6 MB."""
FEW = 12
"""Values of a range that are each a tick of its axis."""
LOG_TAIL = 8000
"""Characters of the log of a failed trial; of the others, and of all where there are many, fewer."""


def sweep_data(sweep: Sweep) -> dict[str, Any]:
    """Everything that the page shows of one sweep."""
    look = Look(sweep)
    runs = {number: sweep.run(number) for number in sweep.numbers}
    lines: dict[str, int] = {}
    return {
        "name": sweep.folder.name,
        "single_run": isinstance(sweep, OneRun),
        "folder": from_here(sweep.folder),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "metric": sweep.metric or "value",
        "directions": sweep.directions,
        "n_trials": sweep.settings.get("n_trials"),
        "sampler": _sampler(sweep),
        "git_commit": sweep.settings.get("git_commit"),
        "versions": sweep.settings.get("versions") or {},
        "space": [_described(h) for h in sweep.space.hyperparameters],
        "verdicts": verdicts(sweep),
        "importance": _importance(look),
        "trials": [_trial(sweep, n, run, len(runs), lines) for n, run in runs.items()],
        "lines": list(lines),
        "curves": _curves(look),
        "problems": sweep.problems[:20],
    }


def verdicts(sweep: Sweep) -> list[dict[str, Any]]:
    """What the sweep means; a single run has nothing to be judged against."""
    if isinstance(sweep, OneRun):
        return []
    return [vars(verdict) for verdict in judge(Evidence.of(sweep))]


def clean(value: Any) -> Any:
    """``value`` for strict JSON: a number that is not finite as the text that it prints as."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    return clean(value.item()) if hasattr(value, "item") else str(value)


def _sampler(sweep: Sweep) -> str | None:
    sampler = sweep.settings.get("sampler")
    return str(sampler.get("_target_")).rpartition(".")[2] if isinstance(sampler, dict) else None


def _described(h: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": h.name.lstrip("+"), "text": str(h), "scale": "linear"}
    if isinstance(h, Choice):
        return {**found, "scale": "choice", "options": [_label(option) for option in h.options]}
    if isinstance(h, Interval):
        return {**found, "scale": h.scale.name, "low": h.low, "high": h.high}
    assert isinstance(h, Range)
    few = {"values": list(h.values)} if len(h.values) <= FEW else {}
    return {**found, **few, "low": h.values[0], "high": h.values[-1]}


def _label(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _importance(look: Look) -> list[dict[str, Any]]:
    if not look.single:
        return []
    return [
        {"name": name.lstrip("+"), "share": share, "p": item.p, "trials": item.trials}
        for name, (share, item) in shares(look).items()
        if item.divergence == item.divergence
    ]


def _trial(
    sweep: Sweep, number: int, run: Run, count: int, lines: dict[str, int]
) -> dict[str, Any]:
    result = run.result
    space = {h.name.lstrip("+"): h for h in sweep.space.hyperparameters}
    params = {
        name: _label(value) if isinstance(space.get(name), Choice) else value
        for name, value in result.params.items()
    }
    kept = LOG_TAIL if result.state == "FAIL" else LOG_TAIL // 8
    checkpoint = run.checkpoint
    folder, edits = from_here(run.folder), _edits(run.folder)
    config = _text(run.folder / names.CONFIG)
    return {
        "number": number,
        "state": result.state,
        "values": result.value if isinstance(result.value, list) else [result.value],
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "started": result.started,
        "seed": result.seed,
        "error": result.error,
        "params": params,
        "edits": edits,
        "checkpoint": from_here(checkpoint) if checkpoint else None,
        "folder": folder,
        # Configs differ in few lines: each line is stored once.
        "config": [lines.setdefault(line, len(lines)) for line in config.splitlines()],
        "log": _tail(run.log, min(kept, max(300, 1_000_000 // max(count, 1)))),
        # Its overrides alone would not give an edited run again.
        "rerun": f"caviar replay {shlex.quote(folder)}"
        if edits
        else rerun_command(sweep.settings, run.overrides),
    }


def _edits(run: Path) -> list[dict[str, Any]]:
    """What was done to a run while it trained and led to where it is now."""
    try:
        edits = in_force(read_edits(run))
    except (UsageError, KeyError) as error:
        return [{"epoch": 0, "text": str(error)}]
    return [{"epoch": edit.epoch, "text": edit.in_words()} for edit in edits]


def _tail(path: Path, characters: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 4 * characters))
            return printable(file.read().decode(errors="replace"))[-characters:]
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:50_000]
    except OSError:
        return ""


def _curves(look: Look) -> dict[str, dict[str, Any]]:
    """metric -> trial -> values, and epochs where they are not 0, 1, 2, …; the score first."""
    import numpy as np

    table = look.curves
    if not len(table):
        return {}
    metrics = [name for name in table.columns if name != "step" and table[name].notna().any()]
    first = [look.sweep.metric, "train/loss", "val/loss"]
    metrics.sort(key=lambda name: (first.index(name) if name in first else 9, name))
    metrics = metrics[:8]
    step = max(1, math.ceil(len(table) * len(metrics) / POINTS))
    found: dict[str, dict[str, Any]] = {name: {} for name in metrics}
    trials = table.index.get_level_values("trial").to_numpy()
    order = np.argsort(trials, kind="stable")
    epochs = table.index.get_level_values("epoch").to_numpy()
    columns = {name: table[name].to_numpy() for name in metrics}
    # By numpy: a table of each trial's own rows is a hundred times as dear as the rows.
    for rows in np.split(order, np.flatnonzero(np.diff(trials[order])) + 1):
        trial = trials[rows[0]]
        for name in metrics:
            values = columns[name][rows]
            kept = np.flatnonzero(np.isfinite(values))
            if step > 1 and len(kept):
                kept = np.unique(np.append(kept[::step], kept[-1]))
            if len(kept):
                at = epochs[rows][kept]
                plain = bool((at == np.arange(len(at))).all())
                found[name][str(trial)] = {
                    "y": [float(f"{value:.5g}") for value in values[kept]],
                    "x": None if plain else [int(epoch) for epoch in at],
                }
    return found
