"""Many runs as rows, fast: what was read once is remembered in a file that may be thrown away.

The folders themselves are listed each time, and a run whose ``result.json`` (tags, edits) has another
time, size or inode than remembered is read again; so the file can be old, lost or another command's,
and what is listed is still true. So is all of it where the code that makes a row has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

from caviar.base.errors import UsageError
from caviar.reading.cells import cells_of, flat, plain
from caviar.reading.find import TRIALS, outputs_root
from caviar.reading.rows import Row, Rows
from caviar.runs import folder as names
from caviar.runs.edits import EDITS
from caviar.runs.files import read_bytes, read_yaml, unreadable, write_atomic
from caviar.runs.places import in_trials, run_folders, sweep_folders
from caviar.runs.tags import TAGS

INDEX = ".index.json"
CONFIGS = ".index-configs.json"
SCHEMA = 4
MADE_BY = (
    *("reading/cells.py", "reading/run.py"),
    *("runs/edits.py", "runs/folder.py", "runs/tags.py"),
)
"""The files of `caviar` whose code makes a run's cells."""


def all_runs(root: Path | None = None) -> Rows:
    """Every run under the outputs folder, those of sweeps included."""
    root = root or outputs_root()
    groups: list[tuple[str | None, Path]] = [(None, folder) for folder in run_folders(root)]
    found, problems = _trials(sweep_folders(root), root)
    return _read(groups + found, problems, root, whole=True)


def runs_of(sweeps: Iterable[Path], root: Path | None = None) -> Rows:
    """Every run of some sweeps."""
    root = root or outputs_root()
    return _read(*_trials(sweeps, root), root, whole=False)


def one_run(folder: Path, problems: list[str]) -> Row:
    """The row of a single run folder.

    Args:
        problems: takes a line for each file that it can be shown without.

    Raises:
        UsageError: its ``result.json`` cannot be read.
    """
    trial = folder.parent.name == TRIALS
    sweep = _label(folder.parent.parent, outputs_root()) if trial else None
    return _row(cells_of(sweep, folder, problems), folder)


def add_configs(rows: Rows, root: Path | None = None) -> None:
    """Read the config of every run, so that each of its keys is a column."""
    root = root or outputs_root()
    path = root / CONFIGS
    known = _remembered(path)
    changed = False
    for row in rows.rows:
        file = row.folder / names.CONFIG
        key = str(row.folder)
        try:
            stamp = _stamp(file)
            entry: Any = known.get(key)
            if not _holds(entry, stamp, 1):
                entry = known[key] = [stamp, [plain(dict(flat(read_yaml(file))))]]
                changed = True
        except FileNotFoundError:
            continue
        except (UsageError, OSError) as error:
            rows.problems.append(unreadable(file, error))
            continue
        row.config = entry[1][0]
    if changed:
        _remember(path, known)


def config_mentions(folder: Path, key: str) -> bool:
    """Whether a run's config can have a key that ends so: whether the letters are in its text."""
    try:
        return key.encode() in read_bytes(folder / names.CONFIG)
    except (FileNotFoundError, UsageError):
        return False


def _label(sweep: Path, root: Path) -> str:
    """What a sweep is called: its name, or its path where it lies elsewhere."""
    return sweep.name if sweep.parent == root / "sweeps" else str(sweep)


def _read(
    groups: Sequence[tuple[str | None, Path]], problems: list[str], root: Path, whole: bool
) -> Rows:
    known = _remembered(root / INDEX)
    fresh: dict[str, Any] = {}
    rows = []
    changed = False
    for sweep, folder in groups:
        key = str(folder)
        found = len(problems)
        try:
            # Before the file is read: if it is replaced in between, the next look reads it again.
            stamp = _stamp(f"{key}/{names.RESULT}")
            for extra in (TAGS, EDITS):
                with suppress(FileNotFoundError):
                    stamp += _stamp(f"{key}/{extra}")
            entry: Any = known.get(key)
            if not _holds(entry, stamp, 4):
                changed = True
                entry = [stamp, cells_of(sweep, folder, problems)]
            row = _row(entry[1], folder)
        except FileNotFoundError:
            problems.append(f"{folder}: it has no {names.RESULT}")
            continue
        except (UsageError, OSError) as error:
            problems.append(unreadable(folder, error))
            continue
        rows.append(row)
        # The overrides of a run that has just begun may not be there yet.
        if row.facts["state"] != "RUNNING" and len(problems) == found:
            fresh[key] = entry
    if whole:
        changed |= len(fresh) != len(known)
    else:
        fresh = {**known, **fresh}
    if changed:
        _remember(root / INDEX, fresh)
    return Rows(rows, problems)


def _holds(entry: Any, stamp: list[int], parts: int) -> bool:
    """Whether an entry of the index is of these files, and of the shape that it is to have."""
    if not isinstance(entry, list) or len(entry) != 2 or entry[0] != stamp:
        return False
    held = entry[1]
    return isinstance(held, list) and len(held) == parts and all(isinstance(h, dict) for h in held)


def _trials(sweeps: Iterable[Path], root: Path) -> tuple[list[tuple[str | None, Path]], list[str]]:
    """What is in the trials of some sweeps, each with its sweep's label; and what cannot be listed."""
    found: list[tuple[str | None, Path]] = []
    problems = []
    for sweep in sweeps:
        label = _label(sweep, root)
        try:
            # Not `trial_folders`: that asks of each entry if it is a folder, as reading it will tell.
            found += [(label, folder) for folder in in_trials(sweep)]
        except UsageError as error:
            problems.append(str(error))
    return found, problems


def _row(cells: list[dict[str, Any]], folder: Path) -> Row:
    facts, params, overrides, metrics = cells
    return Row(folder, {**facts, "folder": str(folder)}, params, overrides, metrics)


def _stamp(path: str | Path) -> list[int]:
    found = os.stat(path)
    return [found.st_mtime_ns, found.st_size, found.st_ino]


@cache
def _code() -> int:
    """A checksum of the code that makes cells: whoever adds a column finds it in the next listing."""
    caviar = Path(__file__).parents[1]
    return crc32(b"".join((caviar / name).read_bytes() for name in MADE_BY))


def _remembered(path: Path) -> dict[str, Any]:
    path = path.parent.resolve() / path.name
    try:
        # A sum first: what a fault of the disk has changed is no JSON's to notice.
        total, _, text = read_bytes(path).partition(b"\n")
        if total != _sum(text):
            return {}
        data = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    known = isinstance(data, dict) and (data.get("schema"), data.get("code")) == (SCHEMA, _code())
    held = known and data.get("runs")
    return held if isinstance(held, dict) else {}


def _sum(data: bytes) -> bytes:
    return b"%08x" % crc32(data)


def _remember(path: Path, runs: dict[str, Any]) -> None:
    # Moved in whole, so two commands at once cannot mix: one of them is remembered. Not fsynced: what
    # is lost is read again.
    path = path.parent.resolve() / path.name
    # A folder that cannot be written to, or a full disk: the list is right all the same.
    with suppress(OSError):
        data = json.dumps({"schema": SCHEMA, "code": _code(), "runs": runs}).encode()
        write_atomic(path, _sum(data) + b"\n" + data, durable=False)
