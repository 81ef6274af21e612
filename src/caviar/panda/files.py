"""The files by which a watched run and the people who watch it speak: all in RUN/panda."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

from caviar.errors import UsageError
from caviar.runs import locks
from caviar.runs.files import write_atomic

FOLDER = "panda"
STATUS = "status.json"
"""What the run is doing now: its place, its settings, what is wrong with it."""

HEALTH = "health.jsonl"
"""A line whenever a check begins or ceases to find something."""

ALIVE = "alive"
"""Locked for as long as the process that trains lives: no pid to mistake, in a container too."""


def hold(run: Path) -> IO[str]:
    """Say that this process trains ``run``, until the file that is returned is closed.

    Raises:
        UsageError: another process trains it.
    """
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    file = locks.hold(folder / ALIVE)
    if file is None:
        raise UsageError(f"{run}: another process is training it")
    return file


def is_watched(run: Path) -> bool:
    """Whether ``run`` is the folder of a watched run, of any Lightning project."""
    return (run / FOLDER / STATUS).exists()


def alive(run: Path) -> bool:
    """Whether a process is training ``run``."""
    return locks.is_held(run / FOLDER / ALIVE)


def read_status(run: Path) -> dict[str, Any]:
    """What ``run`` last said of itself.

    Raises:
        UsageError: it was not trained with ``panda=true``.
    """
    try:
        return json.loads((run / FOLDER / STATUS).read_text())
    except FileNotFoundError:
        raise UsageError(f"run={run}: not a watched run (train it with panda=true)") from None
    except ValueError as error:
        raise UsageError(f"{run / FOLDER / STATUS}: not readable as JSON ({error})") from None


def write_status(run: Path, status: dict[str, Any]) -> None:
    """Put ``status`` in place whole. Not synced to the disk: a machine that fell trains nothing."""
    write_atomic(run / FOLDER / STATUS, json.dumps(status) + "\n", durable=False)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A file of one JSON object a line; a last line that is not whole is left out."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def read_health(run: Path) -> list[dict[str, Any]]:
    """Every change in what the checks found, oldest first."""
    return read_lines(run / FOLDER / HEALTH)
