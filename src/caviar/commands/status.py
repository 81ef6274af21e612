"""``caviar status``: sweeps and single runs under way, and how far each is."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from caviar.base.errors import UsageError
from caviar.commands.names import complete_sweep, named
from caviar.commands.runs.arguments import Json
from caviar.commands.tables import one_format, print_json, print_rows, say
from caviar.runs.cost import wall_seconds

SHORT = ["sweep", "is", "done", "failed", "running", "best", "left"]
"""What a terminal has room for; off one there are all `COLUMNS`."""
COLUMNS = ["sweep", "is", "done", "of", "complete", "pruned", "failed", "running", "best", "left_s"]

RUNS = ["run", "is", "epoch", "metric", "score", "panda"]


def status(
    sweeps: Annotated[
        list[str] | None, named("Sweeps; none for those under way.", complete_sweep, "SWEEP")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every sweep and run, also those that ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the sweeps and single runs that are under way: how far each is, the best, the time left.

    Each is under way, interrupted (caviar resume goes on with it) or ended.

    Examples:

      caviar status

      caviar status --all

      caviar status latest --json
    """
    from caviar.reading.find import find_sweep
    from caviar.reading.index import runs_of
    from caviar.reading.rows import by_sweep
    from caviar.runs.places import sweep_folders, unbegun_sweeps
    from caviar.sweep.owner import is_running

    form = one_format(json=as_json)
    if sweeps:
        folders = list(dict.fromkeys(find_sweep(name) for name in sweeps))
    else:
        folders = [f for f in sweep_folders() if everything or is_running(f)]
    runs = [] if sweeps else _single_runs(everything)
    found = [_state_of(*group) for group in by_sweep(folders, runs_of(folders).rows)]
    for folder in unbegun_sweeps() if everything else []:
        if not is_running(folder):
            say(f"{folder.name}: killed as it started; caviar runs rm {folder.name} removes it")
    if form == "json":
        print_json({"sweeps": found, "runs": runs})
        return
    if found and form == "terminal":
        print_rows(SHORT, [_in_short(line) for line in found], form, narrow="turn")
    elif found:
        print_rows(COLUMNS, [[line[name] for name in COLUMNS] for line in found], form)
    if runs:
        print_rows(RUNS, [[line[name] for name in RUNS] for line in runs], form, narrow="turn")
    if not found and not runs:
        what = "no sweep" if sweeps else "no sweep or run"
        say(f"{what} is under way; --all shows those that ended")


def _state_of(folder: Path, rows: list[Any]) -> dict[str, Any]:
    from caviar.commands.runs.arguments import settings_of
    from caviar.reading.compare import standing, summarise
    from caviar.sweep.owner import is_running, owner_of

    alive = is_running(folder)
    total = settings_of(folder, under_way=alive).get("n_trials")
    (counts,) = summarise([(folder, rows)])
    done = counts["complete"] + counts["pruned"] + counts["fail"]
    left = max(total - done, 0) if isinstance(total, int) else 0
    owner = owner_of(folder) if alive else None
    return {
        "sweep": folder.name,
        "is": "under way" if alive else "interrupted" if left else "ended",
        "done": done,
        "of": total,
        "complete": counts["complete"],
        "pruned": counts["pruned"],
        "failed": counts["fail"],
        "running": counts["running"] if alive else 0,
        "best": counts["best"],
        "best_run": counts["best_run"],
        "left_s": _seconds_left(standing(rows), done, left) if alive and left else None,
        "pid": owner and owner.get("pid"),
        "host": owner and owner.get("host"),
        "folder": str(folder),
    }


def _in_short(line: dict[str, Any]) -> list[Any]:
    from caviar.base.words import duration

    of = "" if line["of"] is None else f"/{line['of']}"
    left = "" if line["left_s"] is None else duration(line["left_s"])
    best = "" if line["best"] is None else line["best"]
    return [
        *(line["sweep"], line["is"], f"{line['done']}{of}", line["failed"], line["running"]),
        *(best, left),
    ]


def _single_runs(everything: bool) -> list[dict[str, Any]]:
    """The single runs under way, watched ones too; with ``everything`` those that ended as well."""
    from caviar.reading.index import one_run
    from caviar.runs.places import run_folders
    from caviar.runs.program import under_way

    found = []
    for folder in run_folders():
        alive = under_way(folder)
        if alive or everything:
            with suppress(UsageError):  # its files are damaged, or are being made
                found.append(_state_of_run(folder, one_run(folder, []).facts, alive))
    return found


def _state_of_run(folder: Path, facts: dict[str, Any], alive: bool) -> dict[str, Any]:
    from caviar.base.configs import value_at
    from caviar.panda.files import read_status
    from caviar.reading.metrics import read_rows
    from caviar.reading.run import Run
    from caviar.runs.folder import Result

    watched = None
    with suppress(UsageError):
        watched = read_status(folder)
    state = (watched or {}).get("state") if alive else None
    _, rows = read_rows(folder)
    config = Run(folder, Result.read(folder)).config
    metric = facts["metric"] or value_at(config, "metric")
    last = rows[-1].get(str(metric)) if rows else None
    score = facts["value"] if facts.get("value") is not None else float(last) if last else None
    epochs = value_at(config, "trainer.max_epochs")
    done = int(rows[-1]["epoch"]) + 1 if rows else 0
    return {
        "run": folder.name,
        "is": state or ("training" if alive else str(facts["state"])),
        "epoch": f"{done}/{epochs}" if epochs else str(done),
        "metric": metric,
        "score": score,
        "seconds": facts["seconds"],
        "panda": watched is not None,
        "folder": str(folder),
    }


def _seconds_left(rows: list[Any], done: int, left: int) -> float | None:
    """The rest at the pace so far, in seconds; trials under way count as half done.

    Of the time so far that in which some trial was under way: not that between two sessions.
    """
    now, spans, running = datetime.now(UTC), [], 0
    for row in rows:
        started, took = row.facts["started"], row.facts["seconds"]
        if row.facts["state"] == "RUNNING":
            running += 1
            with suppress(TypeError, ValueError):  # not yet, or damaged
                took = (now - datetime.fromisoformat(started)).total_seconds()
        spans.append((started, took))
    spent = wall_seconds(spans)
    if not spent or not done:
        return None
    return round(spent / (done + running / 2) * max(left - running / 2, 0), 1)
