"""Many runs as rows, fast: what was read once is remembered in a file that may be thrown away.

The folders themselves are listed each time, and a run whose ``result.json`` (or tags) has another
time, size or inode than remembered is read again; so the file can be old, lost or another command's,
and what is listed is still true.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from caviar.errors import UsageError
from caviar.runs import folder as names
from caviar.runs.find import TRIALS, outputs_root, run_folders, sweep_folders
from caviar.runs.folder import Result

TAGS = "tags.json"
INDEX = ".index.json"
CONFIGS = ".index-configs.json"
SCHEMA = 1

FACTS = ["run", "state", "value", "best_epoch", "seconds", "started", "seed", "metric", "tags"]
"""Columns that every run has, first to last; ``value_0``, ``value_1``, … for several objectives."""
LAST = ["error", "checkpoint", "sweep", "number", "folder"]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Row:
    """One run.

    Attributes:
        folder: the run folder.
        facts: columns that every run has; `FACTS` and `LAST`.
        params: the hyperparameters that a sweep searched, by name.
        overrides: what else the run changed, by key.
        metrics: every metric at the best epoch, and what other numbers the task recorded.
        config: further keys of the config, flat, once `add_configs` has read them.
    """

    folder: Path
    facts: dict[str, Any]
    params: dict[str, Any]
    overrides: dict[str, Any]
    metrics: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)

    def get(self, column: str) -> Any:
        """The value of a column; None where this run has none."""
        for part in (self.facts, self.params, self.overrides, self.metrics, self.config):
            if column in part:
                return part[column]
        return None


@dataclass
class Rows:
    """Runs, as they were when they were read.

    Attributes:
        rows: a row a run, as the folders come: single runs, then sweep after sweep, oldest first.
        problems: a line for each folder that is no run, or whose files cannot be read.
    """

    rows: list[Row]
    problems: list[str]

    def columns(self) -> list[str]:
        """Every column that some run has, in the order in which they are shown."""
        values = sorted({c for row in self.rows for c in row.facts} - set(FACTS) - set(LAST))
        found = [*FACTS[:2], *(values or ["value"]), *FACTS[3:]]
        for part in ("params", "overrides", "metrics", "config"):
            seen = dict.fromkeys(c for row in self.rows for c in getattr(row, part))
            found += [column for column in seen if column not in LAST]
        return [*dict.fromkeys(found), *LAST]

    def varying(self, shown: list[Row]) -> list[str]:
        """The columns that tell ``shown`` apart: how the runs went, and what differs among them.

        Of each run's metrics there is the score alone; the others are there by name.
        """
        values = {c for row in shown for c in row.facts if c[:5] == "value"} or {"value"}
        always = {"run", "state"} | values
        never = {c for row in shown for c in row.metrics} | {"started", *LAST} - {"error"}

        def varies(column: str) -> bool:
            return len({_hashable(row.get(column)) for row in shown}) > 1

        return [c for c in self.columns() if c in always or (c not in never and varies(c))]


def all_runs(root: Path | None = None) -> Rows:
    """Every run under the outputs folder, those of sweeps included."""
    root = root or outputs_root()
    groups: list[tuple[str | None, Path]] = [(None, folder) for folder in run_folders(root)]
    for sweep in sweep_folders(root):
        groups += [(sweep.name, folder) for folder in _trials(sweep)]
    return _read(groups, root, whole=True)


def runs_of(sweeps: Iterable[Path], root: Path | None = None) -> Rows:
    """Every run of some sweeps."""
    root = root or outputs_root()
    groups = [(_label(sweep, root), folder) for sweep in sweeps for folder in _trials(sweep)]
    return _read(groups, root, whole=False)


def by_sweep(sweeps: Iterable[Path], rows: Iterable[Row]) -> list[tuple[Path, list[Row]]]:
    """Each sweep's folder with the rows of its trials."""
    # As text: a path's parents cost more than all the rest of a listing.
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(os.path.dirname(os.path.dirname(row.folder)), []).append(row)
    return [(sweep, found.get(str(sweep), [])) for sweep in sweeps]


def one_run(folder: Path) -> Row:
    """The row of a single run folder.

    Raises:
        UsageError: its ``result.json`` cannot be read.
    """
    trial = folder.parent.name == TRIALS
    sweep = _label(folder.parent.parent, outputs_root()) if trial else None
    return _row(_cells(sweep, folder), folder)


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
                flat = dict(_flat(yaml.load(file.read_bytes(), Loader=_Loader)))
                entry = [stamp, [_plain(flat)]]
                known[key] = entry
                changed = True
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            if not isinstance(error, FileNotFoundError):
                rows.problems.append(f"{file}: not readable ({' '.join(str(error).split())})")
            continue
        row.config = entry[1][0]
    if changed:
        _remember(path, known)


def config_mentions(folder: Path, key: str) -> bool:
    """Whether a run's config can have a key that ends so: whether the letters are in its text."""
    try:
        return key.encode() in (folder / names.CONFIG).read_bytes()
    except OSError:
        return False


def read_tags(folder: Path) -> list[str]:
    """A run's tags, sorted."""
    try:
        found = json.loads((folder / TAGS).read_bytes())
    except (OSError, ValueError):
        return []
    return sorted(str(tag) for tag in found) if isinstance(found, list) else []


def _label(sweep: Path, root: Path) -> str:
    """What a sweep is called: its name, or its path where it lies elsewhere."""
    return sweep.name if sweep.parent == root / "sweeps" else str(sweep)


def _read(groups: Sequence[tuple[str | None, Path]], root: Path, whole: bool) -> Rows:
    known = _remembered(root / INDEX)
    fresh: dict[str, Any] = {}
    rows, problems = [], []
    changed = False
    for sweep, folder in groups:
        key = str(folder)
        try:
            # Before the file is read: if it is replaced in between, the next look reads it again.
            stamp = [*_stamp(f"{key}/{names.RESULT}"), *_stamp_if_any(f"{key}/{TAGS}")]
            entry: Any = known.get(key)
            if not _holds(entry, stamp, 4):
                changed = True
                entry = [stamp, _cells(sweep, folder)]
            row = _row(entry[1], folder)
        except FileNotFoundError:
            problems.append(f"{folder}: it has no {names.RESULT}")
            continue
        except (UsageError, OSError, TypeError, AttributeError, LookupError, ValueError) as error:
            text = " ".join(str(error).split())
            problems.append(text if str(folder) in text else f"{folder}: not readable ({text})")
            continue
        rows.append(row)
        # The overrides of a run that has just begun may not be there yet.
        if row.facts["state"] != "RUNNING":
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


def _trials(sweep: Path) -> list[Path]:
    # Not `trial_folders`: that asks of each entry whether it is a folder, as reading it will tell.
    try:
        found = sorted(os.listdir(sweep / TRIALS))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [sweep / TRIALS / name for name in found if not name.startswith(".")]


def _cells(sweep: str | None, folder: Path) -> list[dict[str, Any]]:
    """What a run's files say, as it is remembered: facts, params, overrides, metrics."""
    result = Result.read(folder)
    number = result.number
    if number is None and sweep is not None and folder.name.isdecimal():
        number = int(folder.name)
    value = result.value
    values: dict[str, Any] = {"value": value}
    if isinstance(value, list):
        several = len(value) > 1
        values = {f"value_{i}" if several else "value": item for i, item in enumerate(value)}
    facts = {
        "run": folder.name
        if sweep is None
        else f"{sweep}/{folder.name if number is None else number}",
        "state": str(result.state),
        **values,
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "started": result.started,
        "seed": result.seed,
        "metric": result.metric,
        "tags": " ".join(read_tags(folder)) or None,
        "error": result.error,
        "checkpoint": result.checkpoint,
        "sweep": sweep,
        "number": number,
    }
    params = dict(result.params)
    overrides = {k: v for k, v in _overrides(folder).items() if k not in params}
    metrics: dict[str, Any] = {}
    for name, fact in dict(result.facts).items():
        if name == "metrics" and isinstance(fact, dict):
            metrics |= fact
        elif isinstance(fact, dict):
            metrics |= {f"{name}.{key}": item for key, item in _flat(fact)}
        else:
            metrics[name] = fact
    return [_plain(facts), _plain(params), overrides, _plain(metrics)]


def _row(cells: list[dict[str, Any]], folder: Path) -> Row:
    facts, params, overrides, metrics = cells
    return Row(folder, {**facts, "folder": str(folder)}, params, overrides, metrics)


def _overrides(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / names.OVERRIDES).read_text()
        # Plain words, a line each, are read by hand: ten times as fast as any YAML reader.
        if re.fullmatch(r"(?:- [A-Za-z_+~@][^\n#:'\"\\]*\n)*", text):
            lines = [line[2:] for line in text.splitlines()]
        else:
            lines = [str(item) for item in yaml.load(text, Loader=_Loader) or []]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError):
        return {}
    found = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not key.startswith("~"):
            found[key.lstrip("+")] = _literal(value)
    return found


def _literal(text: str) -> Any:
    if text.lower() in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[text.lower()]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _flat(node: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """``{a: {b: 1}}`` as ``a.b: 1``; an empty mapping stands as it is."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells as they come back from the index: lists and mappings as text."""
    return {
        str(key): value
        if value is None or isinstance(value, str | int | float | bool)
        else json.dumps(value, default=str)
        for key, value in cells.items()
    }


def _hashable(value: Any) -> Any:
    # NaN is not itself, True is 1 and 1 is 1.0; a column that has one of each varies.
    return (type(value), value) if value == value else "nan"


def _stamp(path: str | Path) -> list[int]:
    found = os.stat(path)
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _stamp_if_any(path: str) -> list[int]:
    try:
        return _stamp(path)
    except FileNotFoundError:
        return []


def _remembered(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
        runs = data["runs"] if data["schema"] == SCHEMA else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return runs if isinstance(runs, dict) else {}


def _remember(path: Path, runs: dict[str, Any]) -> None:
    # Moved in whole, so two commands at once cannot mix: one of them is remembered. Not fsynced: what
    # is lost is read again.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps({"schema": SCHEMA, "runs": runs}))
        os.replace(partial, path)
    except OSError:
        # A folder that cannot be written to, or a full disk: the list is right all the same.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
