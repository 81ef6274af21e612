"""The rule of the test part: a sweep's winner is evaluated on it once, and that is on record first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caviar.errors import UsageError
from caviar.runs.files import write_atomic
from caviar.sweep.finished import FinishedSweep

FILE = "test_set.json"


def looked_at(sweep: FinishedSweep) -> str | None:
    """Who has looked at the test part already and what came of it, in words; None: nobody."""
    path = sweep.folder / FILE
    if path.exists():
        try:
            seen: dict[str, Any] = json.loads(path.read_text())
        except ValueError:
            return f"somebody has looked at the test part already ({path} is not readable)"
        result = seen.get("result")
        told = "it did not end" if result is None else json.dumps(result)
        return (
            f"the test part was already looked at, on {seen.get('when')}, "
            f"for trial {seen.get('trial')}: {told}"
        )
    tested = [r.number for r in sweep.results if r.facts.get("tested")]
    if tested:
        return f"the test part was already looked at, in trials {tested} of the sweep itself"
    return None


def claim(sweep: FinishedSweep, trial: str, run: Path) -> None:
    """Put on record that the test part is about to be looked at: a kill in the middle counts too.

    Raises:
        UsageError: it has been already, maybe a moment ago by another process.
    """
    seen = looked_at(sweep)
    if seen:
        raise UsageError(seen)
    try:
        with (sweep.folder / FILE).open("x") as file:
            json.dump(_entry(trial, run), file)
    except FileExistsError:
        raise UsageError(str(looked_at(sweep))) from None


def conclude(sweep: FinishedSweep, trial: str, run: Path, result: dict[str, Any]) -> None:
    """Add what came of it."""
    entry = {**_entry(trial, run), "result": result}
    write_atomic(sweep.folder / FILE, json.dumps(entry, indent=1) + "\n")


def _entry(trial: str, run: Path) -> dict[str, Any]:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"when": when, "trial": trial, "run": str(run)}
