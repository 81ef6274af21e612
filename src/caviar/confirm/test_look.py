"""The rule of the test part: a sweep's winner is evaluated on it once, and that is on record first.

A record that is damaged counts, and so does the run of a look whose record is gone. Another sweep
over the same data has the same test part: what it has seen is seen.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.reading.sweep import Sweep
from caviar.runs.files import read_json, write_atomic
from caviar.runs.folder import Result
from caviar.runs.inside import open_inside

FILE = "test_set.json"
SAME = {"batch_size", "eval_batch_size", "drop_last", "folds", "fold", "seed"}
"""Settings of ``data`` that leave the test part what it is."""


def looked_at(sweep: Sweep, again: bool = False) -> str | None:
    """Who has looked at the test part already and what came of it, in words; None: nobody.

    Args:
        again: pass over other sweeps' looks.
    """
    path = sweep.folder / FILE
    if path.exists():
        return f"the test part was already looked at, {_record_in_words(path)}"
    tested = [r.number for r in sweep.results if r.facts.get("tested")]
    if tested:
        return f"the test part was already looked at, in trials {tested} of the sweep itself"
    beside = sweep.folder.resolve().parent
    found = sorted(beside.glob(f"{sweep.folder.resolve().name}-confirm*-test*"))
    runs = [run for run in found if not saw_nothing(run)]
    if runs:
        return (
            f"the test part was already looked at: {runs[0]} is the run; its record {path} is gone"
        )
    data = _data(sweep)
    for other in [] if again or data is None else sorted(beside.glob(f"*/{FILE}")):
        if _read(other).get("data") == data:
            return (
                f"the test part was already looked at by another sweep over the same data, "
                f"{other.parent.name}, {_record_in_words(other)}; --test-again looks all the same"
            )
    return None


def claim(sweep: Sweep, trial: str, run: Path, again: bool = False) -> None:
    """Put on record that the test part is about to be looked at: a kill in the middle counts too.

    Raises:
        UsageError: it has been already, maybe a moment ago by another process.
    """
    seen = looked_at(sweep, again)
    if seen:
        raise UsageError(seen)
    try:
        with open_inside(sweep.folder / FILE, "x") as file:
            json.dump(_entry(sweep, trial, run), file)
    except FileExistsError:
        raise UsageError(str(looked_at(sweep))) from None


def withdraw(sweep: Sweep, run: Path) -> bool:
    """Take a claim back whose run is over and saw nothing; whether that was so."""
    if not saw_nothing(run):
        return False
    (sweep.folder / FILE).unlink(missing_ok=True)
    return True


def saw_nothing(run: Path) -> bool:
    """Whether a run that was to evaluate the test part is sure to have ended before it did.

    It is gone, as one is that was refused before it trained; or it failed, and says of itself that it had
    not come to the test part yet (``testing`` in its facts).
    """
    if not run.exists():
        return True
    try:
        result = Result.read(run)
    except UsageError:
        return False
    return result.state == "FAIL" and result.facts.get("testing") is False


def conclude(sweep: Sweep, trial: str, run: Path, result: dict[str, Any]) -> None:
    """Add what came of it."""
    entry = {**_entry(sweep, trial, run), "result": result}
    write_atomic(sweep.folder / FILE, json.dumps(entry, indent=1) + "\n")


def _entry(sweep: Sweep, trial: str, run: Path) -> dict[str, Any]:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"when": when, "trial": trial, "run": str(run), "data": _data(sweep)}


def _read(path: Path) -> dict[str, Any]:
    """A record; empty where it is not readable as one."""
    try:
        found = read_json(path)
    except (FileNotFoundError, UsageError):
        return {}
    return found if isinstance(found, dict) else {}


def _record_in_words(path: Path) -> str:
    seen = _read(path)
    if not {"when", "trial"} <= seen.keys():
        return f"by whom is not known ({path} is not readable)"
    result = seen.get("result")
    scores = "it did not end" if result is None else json.dumps(result)
    return f"on {seen['when']}, for trial {seen['trial']}: {scores}"


def _data(sweep: Sweep) -> Any:
    """The settings that say what the test part is, as far as the best trial's config tells."""
    if not sweep.ranked:
        return None
    data = sweep.ranked[0].config.get("data")
    if not isinstance(data, dict):
        return data
    return {key: value for key, value in data.items() if key not in SAME}
