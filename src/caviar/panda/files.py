"""The files by which a watched run and the people who watch it speak: all in RUN/panda."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import IO, Any

from caviar.base.errors import UsageError
from caviar.runs import locks
from caviar.runs.fields import (
    FLAG,
    MAPPING,
    NUMBER,
    TEXT,
    WHOLE,
    Must,
    check_fields,
    each,
    mapping_to,
    optional,
)
from caviar.runs.files import read_json, read_lines, write_atomic
from caviar.runs.inside import make_folders

FOLDER = "panda"
STATUS = "status.json"
"""What the run is doing now: its place, its settings, what is wrong with it."""

HEALTH = "health.jsonl"
"""A line whenever a check begins or ceases to find something."""

ALIVE = "alive"
"""Locked for as long as the process that trains lives: no pid to mistake, in a container too."""


_STATUS = {
    "state": TEXT,
    **dict.fromkeys(("epoch", "step", "max_epochs"), NUMBER),
    "settings": mapping_to(optional(NUMBER)),
    "missing": mapping_to(TEXT),
    **dict.fromkeys(("losses", "schedulers"), each(TEXT)),
    "findings": each(MAPPING),
    "vitals": optional(MAPPING),
    "threads": optional(WHOLE),
    **dict.fromkeys(("metric", "replay", "module", "script", "cwd"), optional(TEXT)),
}
"""What the parts of ``status.json`` must be that somebody reads."""
_UNSAID: dict[str, Any] = {
    **{"epoch": 0, "step": 0, "max_epochs": -1, "settings": {}, "missing": {}},
    **{"losses": [], "schedulers": [], "findings": []},
}
"""What stands for a part that an older caviar did not write."""
_FINDING: dict[str, Must] = dict.fromkeys(("check", "sentence", "remedy"), TEXT)


def hold(run: Path) -> IO[str]:
    """Say that this process trains ``run``, until the file that is returned is closed.

    Raises:
        UsageError: another process trains it.
    """
    folder = run / FOLDER
    make_folders(folder)
    file = locks.hold(folder / ALIVE)
    if file is None:
        raise UsageError(f"{run}: another process is training it")
    return file


def is_watched(run: Path) -> bool:
    """Whether ``run`` is the folder of a watched run, of any Lightning project."""
    return (run / FOLDER / STATUS).exists()


def alive(run: Path) -> bool:
    """Whether a process is training ``run``."""
    return bool(locks.is_held(run / FOLDER / ALIVE))


def read_status(run: Path) -> dict[str, Any]:
    """The status that ``run`` last wrote.

    Raises:
        UsageError: it was not trained with ``panda=true``, or the file cannot be read.
    """
    path = run / FOLDER / STATUS
    try:
        status = read_json(path)
    except FileNotFoundError:
        raise UsageError(f"run={run}: not a watched run (train it with panda=true)") from None
    if not isinstance(status, dict):
        raise UsageError(f"{path}: not what a watched run has there")
    check_fields(path, status, _STATUS, ("state",))
    status = {**dict.fromkeys(_STATUS), **deepcopy(_UNSAID), **status}
    check_fields(path, status["vitals"] or {}, {"steps_per_second": optional(NUMBER)})
    for finding in status["findings"]:
        check_fields(path, finding, _FINDING, _FINDING)
    return status


def how_ended(status: dict[str, Any]) -> str:
    """How a run ended whose process is gone, by the status that it last wrote."""
    return "was killed" if status["state"] in ("training", "paused") else status["state"]


def write_status(run: Path, status: dict[str, Any]) -> None:
    """Put ``status`` in place whole. It is not fsynced: after a power cut nothing trains."""
    write_atomic(run / FOLDER / STATUS, json.dumps(status) + "\n", durable=False)


def read_health(run: Path) -> list[dict[str, Any]]:
    """Every change in what the checks found, oldest first.

    Raises:
        UsageError: the record cannot be read.
    """
    path = run / FOLDER / HEALTH
    found = read_lines(path)
    for change in found:
        check_fields(path, change, _FINDING, _FINDING)
        check_fields(path, change, {"begins": FLAG, "epoch": NUMBER}, ("begins", "epoch"))
    return found
