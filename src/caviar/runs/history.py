"""``history.json``: the trials of earlier sweeps that a sweep begins with, as it took them over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.runs.fields import MAPPING, NUMBER, TEXT, WHOLE, Must, check_fields, each
from caviar.runs.files import read_json, write_atomic
from caviar.runs.text import strict

FILE = "history.json"

_STATES = ("COMPLETE", "PRUNED", "FAIL")
_FIELDS: dict[str, Must] = {
    "sweep": TEXT,
    "number": WHOLE,
    "state": (_STATES.__contains__, f"one of {', '.join(_STATES)}"),
    "values": each(NUMBER),
    "params": MAPPING,
}


@dataclass(frozen=True)
class Earlier:
    """A trial of an earlier sweep.

    Attributes:
        sweep, number: which.
        state: COMPLETE, PRUNED or FAIL.
        values: its scores, one an objective; none of a trial without.
        params: its values in the space of the sweep that took it over, by name.
    """

    sweep: str
    number: int
    state: str
    values: list[float]
    params: dict[str, Any]


def write_history(folder: Path, trials: Sequence[Earlier]) -> None:
    """Write ``history.json`` into a sweep's folder, where there is anything to write."""
    if trials:
        text = json.dumps([strict(asdict(trial)) for trial in trials])
        write_atomic(folder / FILE, f"{text}\n")


def read_history(folder: Path) -> list[Earlier]:
    """The earlier trials that a sweep began with.

    Raises:
        UsageError: its ``history.json`` is damaged.
    """
    path = folder / FILE
    try:
        held: Any = read_json(path)
    except FileNotFoundError:
        return []
    check_fields(path, {"trials": held}, {"trials": each(MAPPING)})
    found: list[Earlier] = []
    for entry in held:
        check_fields(path, entry, _FIELDS)
        if entry.keys() != _FIELDS.keys():
            raise UsageError(f"{path}: each trial has {', '.join(_FIELDS)}")
        found.append(Earlier(**entry))
    return found
