"""The run folder: its names, its making, and what a run writes into it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from caviar.base.errors import UsageError, usage_error
from caviar.runs.fields import MAPPING, NUMBER, TEXT, WHOLE, check_fields, each, either, optional
from caviar.runs.files import read_described, write_atomic
from caviar.runs.text import strict

CONFIG = "config.yaml"
OVERRIDES = "overrides.yaml"
METRICS = "metrics.csv"
RESULT = "result.json"
LOG = "log.txt"
CHECKPOINTS = "checkpoints"
BEST_CHECKPOINT = f"{CHECKPOINTS}/best.ckpt"
"""The state that the score is of."""
LANE = "lane.ckpt"
"""What a trial on a lane leaves among its checkpoints while it runs, to go on from on another lane."""
TRIALS = "trials"
"""In a sweep's folder, that of its trials."""

LONGEST = 200
"""Characters of a name: file systems take 255 bytes, and some of our own may be put behind it."""

_WORDS = re.compile(r"best|latest|\d+")
"""Names that mean something else to whoever looks a run up: see `caviar.reading.find`."""

REPORT = "report.html"
"""The report's name in a sweep's folder."""

CONFIRMED = "confirm.json"
"""In a sweep's folder, what fresh seeds have said of its trials, and which sweeps trained them."""

_STOPPED = re.compile(r"(Trial)?Interrupted\b")

SCHEMA = 1
"""Version of ``result.json``; it grows by one whenever a field changes its meaning."""


@dataclass
class Result:
    """What ``result.json`` holds.

    Attributes:
        state: Optuna's word: RUNNING, COMPLETE, PRUNED or FAIL.
        number: the trial's number in its study; None for a single run.
        value: the score, or a list of scores where there are several objectives.
        metric: the name of the score, where the task has one; or of each score.
        best_epoch: the epoch (from 0) that the score is of, or all scores are.
        seconds: wall time of the task alone.
        params: the searched hyperparameters, by name, as the run saw them.
        checkpoint: the best checkpoint, relative to the run folder.
        error: the last line of the traceback, where the run failed.
        facts: what else the task recorded.
    """

    state: str
    number: int | None = None
    value: float | list[float] | None = None
    metric: str | list[str] | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    started: str | None = None
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    seed: int | None = None
    checkpoint: str | None = None
    error: str | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    schema: int = SCHEMA

    def write(self, folder: Path) -> None:
        """Write ``result.json`` whole. A NaN or infinite number stands as a string, for strict JSON."""
        # Of a run that a power cut ends, nobody needs to know that it had begun.
        durable = self.state != "RUNNING"
        write_atomic(folder / RESULT, json.dumps(strict(vars(self)), indent=1) + "\n", durable)

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Read ``result.json``.

        Raises:
            UsageError: there is none, it is not JSON, a newer caviar wrote it, or a field is not what
                it must be.
        """
        data = read_described(f"{folder}/{RESULT}", SCHEMA, "run folder")
        known = cls.__dataclass_fields__
        held = {key: _loose(value) for key, value in data.items() if key in known}
        # A task may have returned a word: that is no score, and no fault of the file.
        held["value"] = _as_number(held.get("value"))
        if isinstance(held.get("best_epoch"), str):
            held["best_epoch"] = None
        check_fields(f"{folder}/{RESULT}", held, _MUST, needed=("state",))
        return cls(**held)

    def take(self, facts: dict[str, Any]) -> None:
        """Put what a task recorded where it belongs: into a field of its name, else into ``facts``."""
        for key, value in facts.items():
            if key in self.__dataclass_fields__ and key not in {"facts", "schema", "state"}:
                setattr(self, key, value)
            else:
                self.facts[key] = value


_MUST = {
    "state": TEXT,
    "value": optional(either(NUMBER, each(optional(NUMBER)))),
    **dict.fromkeys(("number", "seed"), optional(WHOLE)),
    **dict.fromkeys(("best_epoch", "seconds"), optional(NUMBER)),
    "metric": optional(either(TEXT, each(TEXT))),
    **dict.fromkeys(("started", "checkpoint", "error"), optional(TEXT)),
    **dict.fromkeys(("params", "facts"), MAPPING),
}


def number_of(folder: Path, result: Result) -> int | None:
    """A trial's number: the one that it says, else the one that its folder is called by."""
    if result.number is None and re.fullmatch(r"[0-9]{1,9}", folder.name):
        return int(folder.name)
    return result.number


def was_stopped(error: object) -> bool:
    """Whether an error line says that the sweep was stopped or killed: the trial itself did not fail."""
    return isinstance(error, str) and bool(_STOPPED.match(error))


def repeated(facts: Iterable[Mapping[str, Any]]) -> set[int]:
    """The numbers of the trials that a later one repeats, by what the trials of a sweep recorded."""
    return {number for held in facts if isinstance(number := held.get("retry_of"), int)}


def outputs_root() -> Path:
    """Where runs and sweeps are kept: ``CAVIAR_OUTPUTS``, or ``outputs`` in the working directory."""
    return Path(os.environ.get("CAVIAR_OUTPUTS") or "outputs").absolute()


def has_trained(folder: Path) -> bool:
    """Whether a run has left anything that its training took time for."""
    left = (METRICS, f"{CHECKPOINTS}/*")  # its own, or a fold's
    return any(any(folder.glob(f"**/{files}")) for files in left)


def make_folder(wanted: Path, free: Callable[[Path], bool] = lambda folder: False) -> Path:
    """Make a new folder at ``wanted``; where the name is taken, at ``wanted-2``, ``wanted-3``, …

    Args:
        free: whether a folder that is there may be taken, because nothing is in it.

    Raises:
        UsageError: see `check_place`; or no folder can be made there.
    """
    check_place(wanted)
    candidate, number = wanted, 1
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        while not (_made(candidate) or free(candidate)):
            number += 1
            candidate = wanted.with_name(f"{wanted.name}-{number}")
    except OSError as error:
        raise no_folder(wanted, error) from None
    return candidate


def _made(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False  # somebody else was faster
    return True


def no_folder(wanted: Path, error: OSError) -> UsageError:
    """What to say where a run or sweep cannot have its folder."""
    name = str(wanted) if len(wanted.name) <= LONGEST else f"{wanted.name[:20]}…"
    return usage_error("name", name, f"no folder can be made there: {error.strerror or error}")


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` can be a folder's name on every system and in any shell."""
    if len(name) > LONGEST:
        raise usage_error("name", f"{name[:20]}…", f"{len(name)} characters, {LONGEST} at most")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        shown = name if name.isprintable() and name.strip() else ascii(name)
        raise usage_error("name", shown, "a name is made of A-Z a-z 0-9 . _ - alone")
    if name[0] in ".-":
        why = "hidden from a listing" if name[0] == "." else "taken for an option by a command"
        raise usage_error("name", name, f"begins with {name[0]}, so it would be {why}")


def check_run_name(name: str) -> None:
    """Raise UsageError unless ``name`` can be a run's or a sweep's, and finds it again."""
    check_name(name)
    if _WORDS.fullmatch(name) or name == TRIALS:
        why = "means something else to every command that takes a run or a sweep"
        raise usage_error("name", name, f"{why}; run-{name} would do")


def check_place(wanted: Path) -> None:
    """Raise UsageError unless a run or a sweep may have its folder here, and is found by its name."""
    inside = wanted.parent in (outputs_root() / "runs", outputs_root() / "sweeps")
    (check_run_name if inside else check_name)(wanted.name)


def _as_number(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_number(item) for item in cast("list[Any]", value)]
    return math.nan if isinstance(value, str) else value


def _loose(value: Any) -> Any:
    if isinstance(value, list):
        return [_loose(item) for item in cast("list[Any]", value)]
    return float(value) if value in ("nan", "inf", "-inf") else value
