"""Sweeps side by side, and two runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from caviar.base.direction import sign
from caviar.base.errors import UsageError
from caviar.reading.find import TRIALS
from caviar.reading.rows import Row
from caviar.runs.cost import summed, wall_seconds
from caviar.runs.edits import changes_of, in_force, read_edits
from caviar.runs.folder import repeated, was_stopped
from caviar.runs.program import config_options, split
from caviar.runs.screening import to_paste
from caviar.runs.sweep_file import read_sweep_file

ENDED = ("COMPLETE", "PRUNED", "FAIL")


def best_of(rows: Iterable[Row], signed: int | None) -> Row | None:
    """The best complete run, of equals the first; ``signed``, if known, times a score gives a loss."""
    if signed is None:
        return None
    found = filter(scored, rows)
    return min(found, key=lambda row: signed * row.facts["value"], default=None)


def scored(row: Row) -> bool:
    """Whether a run is complete and its score a number that can be compared."""
    value = row.facts.get("value")
    return (
        row.facts["state"] == "COMPLETE"
        and isinstance(value, int | float)
        and not math.isnan(value)
    )


def standing(rows: Iterable[Row]) -> list[Row]:
    """The trials of one sweep but those that were stopped, or that another one repeats."""
    rows = list(rows)
    again = repeated(row.metrics for row in rows)
    return [
        row
        for row in rows
        if row.facts["number"] not in again
        and not (row.facts["state"] == "FAIL" and was_stopped(row.facts["error"]))
    ]


def summarise(groups: Sequence[tuple[Path, list[Row]]]) -> list[dict[str, Any]]:
    """A row a sweep: counts, the best, how soon it was found, and the best at equal cost.

    Only the `standing` trials count.
    ``best_at_N_trials`` and ``best_at_N_worker_s`` are of the first N trials and the first N worker-seconds
    (`caviar.runs.cost`), summed over trials in the order of their numbers, where N is what the smallest of
    the sweeps spent. What worker-seconds say is None where a trial's are not known.
    """
    groups = [(folder, standing(rows)) for folder, rows in groups]
    ended = [
        sorted(
            (row for row in rows if row.facts["state"] in ENDED),
            key=lambda row: row.facts["number"] or 0,
        )
        for _, rows in groups
    ]
    trials = min((len(rows) for rows in ended), default=0)
    spent = [_spent(rows) for rows in ended]
    seconds = None if None in spent else min((one for one in spent if one is not None), default=0)
    found = []
    for (folder, rows), done, total in zip(groups, ended, spent, strict=True):
        held = _settings(folder)
        signed = sign(held)
        best = best_of(done, signed)
        until = [] if best is None else done[: done.index(best) + 1]
        wall = wall_seconds((row.facts["started"], row.facts["seconds"]) for row in done)
        line: dict[str, Any] = {"sweep": folder.name, "trials": len(rows)}
        for state in (*ENDED, "RUNNING"):
            line[state.lower()] = sum(row.facts["state"] == state for row in rows)
        line |= {
            "metric": held.get("metric"),
            "direction": held.get("direction"),
            "best": best and best.facts["value"],
            "best_run": best and best.facts["run"],
            "trials_to_best": len(until) or None,
            "worker_s_to_best": best and _rounded(_spent(until)),
            "wall_s": round(wall, 3),
            "worker_s": _rounded(total),
        }
        if len(groups) > 1:
            first = best_of(done[:trials], signed)
            line[f"best_at_{trials}_trials"] = first and first.facts["value"]
            if seconds is not None:
                sums = accumulate(row.facts["worker_seconds"] or 0 for row in done)
                within = [r for r, s in zip(done, sums, strict=True) if s <= seconds + 1e-9]
                early = best_of(within, signed)
                line[f"best_at_{seconds:.0f}_worker_s"] = early and early.facts["value"]
        found.append(line)
    return found


def differences(a: Row, b: Row) -> list[tuple[str, str, Any, Any]]:
    """What differs between two runs: part, key, and both values.

    The parts are result, config, edits (made while they trained, no rollback having undone them), code,
    versions and metrics.

    Both rows have their configs (`caviar.reading.index.add_configs`).
    """
    found: list[tuple[str, str, Any, Any]] = []

    def compare(part: str, first: dict[str, Any], second: dict[str, Any]) -> None:
        for key in dict.fromkeys([*first, *second]):
            if not _same(first.get(key), second.get(key)):
                found.append((part, key, first.get(key), second.get(key)))

    skip = {"run", "folder", "number", "sweep", "started", "checkpoint", "edits", "edits_in_force"}
    compare("result", *({k: v for k, v in r.facts.items() if k not in skip} for r in (a, b)))
    # The config's own names of the run say nothing of what was trained.
    configs = (row.config or {**row.overrides, **row.params} for row in (a, b))
    compare("config", *({k: v for k, v in held.items() if k != "name"} for held in configs))
    compare("edits", *(_edits(r) for r in (a, b)))
    for part in ("code", "versions"):
        compare(part, code_of(a)[part], code_of(b)[part])
    compare("metrics", *({k: v for k, v in r.metrics.items() if not _is_code(k)} for r in (a, b)))
    return found


def code_of(row: Row) -> dict[str, dict[str, Any]]:
    """What a run was run with: ``code`` (the commit) and ``versions`` (of the packages)."""
    if row.facts.get("sweep") is None:
        held = row.metrics
        versions = {k[9:]: v for k, v in held.items() if k.startswith("versions.")}
    else:
        held = _settings(row.folder.parent.parent)
        versions = held.get("versions")
    return {
        "code": {"git_commit": held.get("git_commit")},
        "versions": versions if isinstance(versions, dict) else {},
    }


def rerun_command(settings: dict[str, Any], overrides: Sequence[str], ours: bool) -> str | None:
    """The shell command that runs one trial of a sweep again, alone; None where that is not known, or
    could run anything.

    Args:
        settings: what the sweep's ``sweep.yaml`` holds.
        overrides: the trial's.
        ours: the sweep is ours (`caviar.runs.ours`).
    """
    command = settings.get("command")
    if not isinstance(command, list) or len(command) < 2:
        return None
    program, words = split(command)
    given = {str(word) for word in settings.get("overrides") or []}
    whole = [*program, *config_options(words), *overrides]
    new = [word for word in overrides if word not in given]
    return to_paste(whole, new, ours, settings.get("folder"))


def _edits(row: Row) -> dict[str, Any]:
    """What was changed and where; by whom and when is not what a run was trained with."""
    return {
        f"{change['key'] or change['kind']} at step {change['step']}": f"{change['old']} -> {change['new']}"
        if change["key"]
        else "stopped"
        for change in changes_of(in_force(read_edits(row.folder)))
    }


def _is_code(key: str) -> bool:
    return key == "git_commit" or key.startswith("versions.")


def _same(a: Any, b: Any) -> bool:
    return (a == b and isinstance(a, bool) == isinstance(b, bool)) or (a != a and b != b)


def _spent(rows: Iterable[Row]) -> float | None:
    """Worker-seconds; a trial that ended before it began has spent none."""
    ran = [row for row in rows if row.facts["seconds"]]
    return summed(row.facts["worker_seconds"] for row in ran)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _settings(sweep: Path) -> dict[str, Any]:
    assert sweep.name != TRIALS
    try:
        return read_sweep_file(sweep)
    except UsageError:
        return {}
