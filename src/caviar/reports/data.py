"""What the report's page shows of a sweep, as plain data for JSON."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from caviar.base.configs import value_at
from caviar.base.errors import UsageError
from caviar.base.hypervolume import growth
from caviar.base.plain import printable
from caviar.base.scoring import epochs_in_words
from caviar.confirm.results import confirmed
from caviar.reading.compare import rerun_command
from caviar.reading.run import Run
from caviar.reading.sweep import Sweep
from caviar.reports.curves import curves
from caviar.reports.evidence import Evidence
from caviar.reports.importance import shares
from caviar.reports.model import worth
from caviar.reports.summary import scored, summary
from caviar.reports.verdicts.registry import judge
from caviar.runs import folder as names
from caviar.runs.cost import wall_seconds, worker_seconds
from caviar.runs.edits import in_force, read_edits
from caviar.runs.files import read_text
from caviar.runs.folder import Result
from caviar.runs.inside import open_inside
from caviar.runs.places import all_from_here, from_here, typed
from caviar.space.hyperparameters import Choice, Interval, Range


class OneRun(Sweep):
    """The run in ``folder``.

    Raises:
        UsageError: its ``result.json`` cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        result = Result.read(folder)
        config = Run(folder, result).config
        settings = {
            "n_trials": 1,
            "metric": result.metric or config.get("metric"),
            "direction": config.get("direction") or "minimize",
            "git_commit": result.facts.get("git_commit"),
            "versions": result.facts.get("versions"),
        }
        super().__init__(folder, settings)
        # Filled here, the cached property of a sweep is not asked for the folders of trials.
        self._results = {result.number or 0: (folder, result)}


FEW = 12
"""Values of a range that are each a tick of its axis."""
LOG_TAIL = 8000
"""Characters of the log of a failed trial; of the others, and of all where there are many, fewer."""


def sweep_data(sweep: Sweep) -> dict[str, Any]:
    """Everything that the page shows of one sweep."""
    evidence, target = Evidence.of(sweep), value_at(sweep.settings, "sampler._target_")
    runs = {number: sweep.run(number) for number in sweep.numbers}
    found = {
        "name": sweep.folder.name,
        "single_run": isinstance(sweep, OneRun),
        "folder": from_here(sweep.folder),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "metric": ", ".join(sweep.labels),
        "labels": sweep.labels,
        "scored": epochs_in_words(evidence.config.get("score")),
        "directions": sweep.directions,
        "n_trials": sweep.settings.get("n_trials"),
        "sampler": target and str(target).rpartition(".")[2],
        "git_commit": sweep.settings.get("git_commit"),
        "versions": sweep.settings.get("versions") or {},
        "space": [_described(h) for h in sweep.space.hyperparameters],
        "verdicts": verdicts(sweep, evidence),
        "importance": _importance(sweep, evidence),
        "wall_seconds": wall_seconds(
            (run.result.started, run.result.seconds) for run in runs.values()
        ),
        "hypervolume": _hypervolume(sweep),
        "worth": worth_of(sweep, evidence),
    }
    trials, lines = _trials(sweep, runs)
    found |= {"trials": trials, "lines": lines, "curves": curves(sweep)}
    found |= summary(sweep, isinstance(sweep, OneRun), found["verdicts"], found["worth"])
    return {**found, "problems": sweep.problems[:20]}


def meaning(sweep: Sweep) -> dict[str, list[dict[str, Any]]]:
    """What the sweep means, and what its best trials are worth: `verdicts` and `worth_of`, read once."""
    evidence = None if isinstance(sweep, OneRun) else Evidence.of(sweep)
    return {"verdicts": verdicts(sweep, evidence), "worth": worth_of(sweep, evidence)}


def verdicts(sweep: Sweep, evidence: Evidence | None = None) -> list[dict[str, Any]]:
    """What the sweep means; a single run has nothing to be judged against."""
    if isinstance(sweep, OneRun):
        return []
    return [vars(verdict) for verdict in judge(evidence or Evidence.of(sweep))]


def worth_of(sweep: Sweep, evidence: Evidence | None = None) -> list[dict[str, Any]]:
    """What each of the best trials is worth on a fresh seed, as far as that is foretold or was tried: the
    best first, then the default config where it was confirmed.
    """
    fresh = {} if isinstance(sweep, OneRun) else confirmed(sweep.folder)
    found = {} if isinstance(sweep, OneRun) else worth(evidence or Evidence.of(sweep))
    names = [*map(str, found), *(name for name in fresh if name not in map(str, found))]
    return [
        {
            "trial": int(name) if name.isdecimal() else name,
            "expected": vars(found[int(name)]) if name.isdecimal() and int(name) in found else None,
            "confirmed": vars(fresh[name]) if name in fresh else None,
        }
        for name in names
    ]


def _described(h: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": h.name.lstrip("+"), "text": str(h), "scale": "linear"}
    if isinstance(h, Choice):
        plain = [o if isinstance(o, int | float | None) else _label(o) for o in h.options]
        labels = [_label(option) for option in h.options]
        return {**found, "scale": "choice", "options": labels, "plain": plain}
    if isinstance(h, Interval):
        return {**found, "scale": h.scale.name, "low": h.low, "high": h.high}
    assert isinstance(h, Range)
    few = {"values": list(h.values)} if len(h.values) <= FEW else {}
    return {**found, **few, "low": h.values[0], "high": h.values[-1]}


def _label(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _importance(sweep: Sweep, evidence: Evidence) -> list[list[dict[str, Any]]]:
    """Of each objective, the hyperparameters: the most important first."""
    count = len(sweep.directions)
    found = []
    for place, direction in enumerate(sweep.directions):
        one = evidence
        if count > 1 and f"value_{place}" in evidence.trials:
            scores = evidence.trials.assign(value=evidence.trials[f"value_{place}"])
            one = replace(evidence, trials=scores, directions=[direction])
        items = shares(one, sweep.space.hyperparameters).items()
        found.append(
            [
                {"name": name.lstrip("+"), "share": share, "p": item.p, "trials": item.trials}
                for name, (share, item) in items
                if item.divergence == item.divergence
            ]
        )
    return found


def _hypervolume(sweep: Sweep) -> dict[str, Any] | None:
    """The share of the scores' box that the trials up to each one cover; of several objectives alone."""
    if len(sweep.directions) < 2:
        return None
    known = scored(sweep)
    trials = [run.result.number for _, run in known]
    return {"trials": trials, "shares": growth([losses for losses, _ in known])}


def _trials(sweep: Sweep, runs: dict[int, Run]) -> tuple[list[dict[str, Any]], list[str]]:
    """All trials, and the lines of their configs, which differ in few: each line is stored once."""
    folders = all_from_here(run.folder for run in runs.values())
    choices = {h.name.lstrip("+") for h in sweep.space.hyperparameters if isinstance(h, Choice)}
    room = max(300, 1_000_000 // max(len(runs), 1))
    lines: defaultdict[str, int] = defaultdict(count().__next__)
    trials = []
    for (number, run), folder in zip(runs.items(), folders, strict=True):
        result = run.result
        failed = result.state == "FAIL"
        kept = LOG_TAIL if failed else LOG_TAIL // 8
        checkpoint, edits = run.checkpoint, _edits(run.folder)
        config = _text(f"{run.folder}/{names.CONFIG}").splitlines()
        trials.append(
            {
                "number": number,
                # To Optuna it failed, but not to a person.
                "state": "STOPPED" if failed and names.was_stopped(result.error) else result.state,
                "values": result.value if isinstance(result.value, list) else [result.value],
                "best_epoch": result.best_epoch,
                "seconds": result.seconds,
                "worker_seconds": worker_seconds(result.seconds, result.facts),
                "started": result.started,
                "seed": result.seed,
                "error": result.error,
                "params": {
                    name: _label(value) if name in choices else value
                    for name, value in result.params.items()
                },
                "metrics": metrics_of(result),
                "baseline": bool(result.facts.get("baseline")),
                "edits": edits,
                "checkpoint": from_here(checkpoint) if checkpoint else None,
                "folder": folder,
                "config": [*map(lines.__getitem__, config)],
                "log": _tail(f"{run.folder}/{names.LOG}", min(kept, room)),
                # Its overrides alone would not give an edited run again.
                "rerun": f"caviar replay {typed(run.folder)}"
                if edits
                else rerun_command(sweep.settings, run.overrides, sweep.ours),
            }
        )
    return trials, list(lines)


def metrics_of(result: Result) -> dict[str, float]:
    """Every metric at the best epoch."""
    found = result.facts.get("metrics")
    held: dict[str, Any] = found if isinstance(found, dict) else {}
    return {str(k): v for k, v in held.items() if isinstance(v, int | float)}


def _edits(run: Path) -> list[dict[str, Any]]:
    """What was done to a run while it trained and led to where it is now."""
    try:
        edits = in_force(read_edits(run))
    except UsageError as error:
        return [{"epoch": 0, "text": str(error)}]
    return [{"epoch": edit.epoch, "text": edit.in_words()} for edit in edits]


def _tail(path: str, characters: int) -> str:
    try:
        with open_inside(path, "rb", buffering=0) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 4 * characters))
            return printable(file.read().decode(errors="replace"))[-characters:]
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        return read_text(path, "replace")[:50_000]
    except (FileNotFoundError, UsageError):
        return ""
