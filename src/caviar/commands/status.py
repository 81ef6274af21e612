"""``caviar status``: sweeps under way, and how far each is."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from caviar.commands.names import complete_sweep, options_refused
from caviar.commands.runs.arguments import Json
from caviar.commands.tables import one_format, print_json, print_rows, say

COLUMNS = ["sweep", "is", "done", "of", "complete", "pruned", "failed", "running", "best", "left_s"]


def status(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SWEEP",
            help="Sweeps; none for those under way.",
            autocompletion=complete_sweep,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every sweep, also those that ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the sweeps that are under way: how many trials are done, the best, the time left.

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

    options_refused(sweeps or [])
    form = one_format(json=as_json)
    if sweeps:
        folders = list(dict.fromkeys(find_sweep(name) for name in sweeps))
    else:
        folders = [f for f in sweep_folders() if everything or is_running(f)]
    found = [_state_of(*group) for group in by_sweep(folders, runs_of(folders).rows)]
    for folder in unbegun_sweeps() if everything else []:
        if not is_running(folder):
            say(f"{folder.name}: killed as it started; caviar runs rm {folder.name} removes it")
    if form == "json":
        print_json({"sweeps": found})
    elif found:
        print_rows(
            COLUMNS, [[line[name] for name in COLUMNS] for line in found], form, narrow="turn"
        )
    else:
        say("no sweep is under way; --all shows those that ended")


def _state_of(folder: Path, rows: list[Any]) -> dict[str, Any]:
    from caviar.base.direction import sign
    from caviar.commands.runs.arguments import settings_of
    from caviar.reading.compare import ENDED, best_of, standing
    from caviar.sweep.owner import is_running, owner_of

    alive = is_running(folder)
    settings = settings_of(folder, under_way=alive)
    rows = standing(rows)
    counts = {s: sum(r.facts["state"] == s for r in rows) for s in (*ENDED, "RUNNING")}
    done = sum(counts[state] for state in ENDED)
    total = settings.get("n_trials")
    signed = sign(settings)
    best = None if signed is None else best_of(rows, signed)
    left = max(total - done, 0) if isinstance(total, int) else 0
    owner = owner_of(folder) if alive else None
    return {
        "sweep": folder.name,
        "is": "under way" if alive else "interrupted" if left else "ended",
        "done": done,
        "of": total,
        "complete": counts["COMPLETE"],
        "pruned": counts["PRUNED"],
        "failed": counts["FAIL"],
        "running": counts["RUNNING"] if alive else 0,
        "best": best and best.facts["value"],
        "best_run": best and best.facts["run"],
        "left_s": _seconds_left(rows, done, left) if alive and left else None,
        "pid": owner and owner.get("pid"),
        "host": owner and owner.get("host"),
        "folder": str(folder),
    }


def _seconds_left(rows: list[Any], done: int, left: int) -> float | None:
    """The rest at the pace so far, in seconds."""
    began = []
    for row in rows:
        with suppress(TypeError, ValueError):  # not yet, or damaged
            began.append(datetime.fromisoformat(row.facts["started"]))
    if not began or not done:
        return None
    first = min(time if time.tzinfo else time.replace(tzinfo=UTC) for time in began)
    return round((datetime.now(UTC) - first).total_seconds() / done * left, 1)


COMMANDS = [status]
