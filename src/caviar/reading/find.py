"""From what a person calls a run or a sweep to its folder.

A name is a path, a name under the outputs folder, or a word: ``latest``, ``-1`` (the same), ``-2`` (the
one before), ``best`` (the best run of the latest sweep), ``7`` (trial 7 of the latest sweep),
``SWEEP/7``, ``SWEEP/best``, ``latest/-1``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from caviar.base.direction import no_best, sign
from caviar.base.errors import UsageError, nearest, usage_error
from caviar.runs.fields import check_fields
from caviar.runs.files import read_yaml
from caviar.runs.folder import CONFIG, RESULT, TRIALS, Result, outputs_root
from caviar.runs.sweep_fields import SWEEP_FIELDS

SWEEP_FILE = "sweep.yaml"

_BACK = re.compile(r"-[1-9]\d*")


def is_sweep(folder: Path) -> bool:
    """Whether ``folder`` is a sweep's."""
    return (folder / SWEEP_FILE).is_file() or (folder / TRIALS).is_dir()


_OF_A_START = re.compile(
    r"owner\.(lock|json)|workers\.txt|study\.journal(\.lock)?|request|\..+\.partial"
)


def never_began(folder: Path) -> bool:
    """Whether ``folder`` is all that a sweep left that was killed as it started: nothing to go on with."""
    try:
        return all(_OF_A_START.fullmatch(name) for name in os.listdir(folder))
    except OSError:
        return False


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run's."""
    return (folder / RESULT).is_file() or (folder / CONFIG).is_file()


def sweep_folders(root: Path | None = None, follow: bool = True) -> list[Path]:
    """The sweeps under the outputs folder, oldest first; ``follow``: see `find`."""
    return _by_age((root or outputs_root()) / "sweeps", is_sweep, follow)


def run_folders(root: Path | None = None, follow: bool = True) -> list[Path]:
    """The single runs under the outputs folder, oldest first; ``follow``: see `find`."""
    return _by_age((root or outputs_root()) / "runs", is_run, follow)


def trial_folders(sweep: Path) -> list[Path]:
    """Every folder under a sweep's ``trials``, by name, so by number.

    Raises:
        UsageError: they cannot be listed.
    """
    return [folder for folder in in_trials(sweep) if folder.is_dir()]


def in_trials(sweep: Path) -> list[Path]:
    """All that is in a sweep's ``trials``, by name.

    Raises:
        UsageError: that is a link, no folder, or cannot be listed.
    """
    trials = sweep / TRIALS
    if trials.is_symlink():
        raise UsageError(f"{trials}: a link, which is not followed")
    try:
        names = sorted(name for name in os.listdir(trials) if not name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{trials}: cannot be listed ({error.strerror})") from None
    return [trials / name for name in names]


def find(name: str | Path, follow: bool = True) -> Path:
    """The folder of the run or the sweep that ``name`` means.

    Args:
        follow: where a person has put a link in its place, the folder that it leads to.

    Raises:
        UsageError: there is none; it names the nearest that there is.
    """
    folders = [*run_folders(follow=follow), *sweep_folders(follow=follow)]
    found = _find(str(name), "name", "runs and sweeps", folders)
    return landed(found) if follow else found


def find_sweep(name: str | Path) -> Path:
    """The folder of the sweep that ``name`` means.

    Raises:
        UsageError: there is none, or it is a run's.
    """
    folder = landed(_find(str(name), "sweep", "sweeps", sweep_folders()))
    if not is_sweep(folder):
        raise UsageError(f"sweep={name}: that is a run, not a sweep ({folder})")
    return folder


def find_run(name: str | Path) -> Path:
    """The folder of the run that ``name`` means; a sweep's trials are runs too.

    Raises:
        UsageError: there is none, or it is a sweep's.
    """
    folder = landed(_find(str(name), "run", "runs", run_folders()))
    if is_sweep(folder) and not is_run(folder):
        raise UsageError(f"run={name}: that is a sweep; name one of its runs, as in {name}/best")
    return folder


def best_run(sweep: Path) -> Path:
    """The folder of a sweep's best complete trial; of equals, the one with the lowest number.

    Raises:
        UsageError: no trial is complete, there are several objectives, or it is not known which
            direction is better.
    """
    settings = read_sweep_file(sweep)
    signed = sign(settings)
    if signed is None:
        raise UsageError(f"run={sweep.name}/best: {no_best(settings)}; name a trial")
    best: tuple[float, Path] | None = None
    for folder in trial_folders(sweep):
        try:
            result = Result.read(folder)
        except UsageError:
            continue
        value = result.value
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if result.state != "COMPLETE" or not isinstance(value, int | float) or math.isnan(value):
            continue
        if best is None or signed * value < best[0]:
            best = (signed * value, folder)
    if best is None:
        raise UsageError(f"run={sweep.name}/best: no trial of this sweep is complete")
    return best[1]


def read_sweep_file(sweep: Path) -> dict[str, Any]:
    """What ``sweep.yaml`` holds; empty where there is none (yet).

    Raises:
        UsageError: it is not readable as a YAML mapping, or a part is not what it must be.
    """
    path = sweep / SWEEP_FILE
    try:
        data = read_yaml(path)
    except FileNotFoundError:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"{path}: not readable (it holds no mapping)")
    check_fields(path, data, SWEEP_FIELDS)
    return data


def unbegun(name: str) -> Path | None:
    """The folder, among the sweeps under the outputs folder, of one that `never_began`, if it is one."""
    sweeps = outputs_root() / "sweeps"
    for folder in (Path(name).absolute(), outputs_root() / name, sweeps / name):
        if folder.parent == sweeps and folder.is_dir() and never_began(folder):
            return folder
    return None


def unbegun_sweeps() -> list[Path]:
    """Every folder among the sweeps of one that `never_began`, oldest first."""
    return _by_age(outputs_root() / "sweeps", never_began, follow=False)


def inside(folder: Path, name: object) -> Path | None:
    """``folder / name`` resolved, or None where that leads out of ``folder`` (``..``, a link)."""
    if not isinstance(name, str | Path) or "\0" in str(name):
        return None
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError):  # links that lead to one another
        return None
    return path if path.is_relative_to(folder.resolve()) else None


def _find(name: str, key: str, kind: str, folders: list[Path]) -> Path:
    root = outputs_root()
    if not name or "\0" in name:
        raise usage_error(key, repr(name), "not a name")
    if name == "latest" or _BACK.fullmatch(name):
        back = 1 if name == "latest" else -int(name)
        ordered = sorted(folders, key=_age)
        if back > len(ordered):
            raise UsageError(f"{key}={name}: there are {len(ordered)} {kind} in {root}")
        return ordered[-back]
    if name == "best":
        return best_run(find_sweep("latest"))
    for candidate in (
        Path(name).absolute(),
        root / name,
        root / "runs" / name,
        root / "sweeps" / name,
    ):
        if candidate.is_dir() and (is_sweep(candidate) or is_run(candidate)):
            return candidate
    if (never := unbegun(name)) is not None:
        told = "a sweep that was killed as it started; nothing had begun in it"
        raise UsageError(f"{key}={name}: {told} (caviar runs rm {name} removes {never})")
    head, slash, tail = name.rstrip("/").rpartition("/")
    if slash and re.fullmatch(r"\d+|best|latest|-[1-9]\d*", tail):
        return _trial(find_sweep(head), tail)
    if name.isdecimal() and (sweeps := sweep_folders()):
        return _trial(sweeps[-1], name)
    if Path(name).is_dir():
        raise UsageError(f"{key}={name}: that folder is neither a run's nor a sweep's")
    choices = [folder.name for folder in folders]
    if len(choices) <= 10:
        raise usage_error(key, name, f"none of the {kind} in {root}", choices)
    # All names would be too long a line: the nearest alone.
    near = nearest(name, choices)
    raise usage_error(
        key, name, f"none of the {kind} in {root}" + (f"; did you mean {near}?" if near else "")
    )


def landed(folder: Path) -> Path:
    """Where a link leads that a person has put in a run's or a sweep's place; one among trials came along.

    Raises:
        UsageError: it is in a sweep whose ``trials`` are a link.
    """
    if folder.parent.name == TRIALS:
        in_trials(folder.parent.parent)
        return folder
    return folder.resolve() if folder.is_symlink() else folder


def _trial(sweep: Path, which: str) -> Path:
    if which == "best":
        return best_run(sweep)
    folders = trial_folders(sweep)
    if which == "latest" or which.startswith("-"):
        back = 1 if which == "latest" else -int(which)
        if back <= len(folders):
            return folders[-back]
    else:
        for folder in (sweep / TRIALS / f"{int(which):04}", sweep / TRIALS / which):
            if folder.is_dir():
                return folder
    last = f", the last is {folders[-1].name}" if folders else ""
    raise UsageError(f"run={sweep.name}/{which}: the sweep has {len(folders)} trials{last}")


def from_here(path: Path) -> str:
    """A path as a command that is run in this folder takes it: relative where it lies below."""
    return all_from_here([path])[0]


def all_from_here(paths: Iterable[Path]) -> list[str]:
    """`from_here` of many paths; a folder that several are in is resolved once."""
    here = os.getcwd()
    below = here.rstrip("/") + "/"
    parents: dict[str, str] = {}
    found = []
    for path in paths:
        parent, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):
            whole = os.path.realpath(path)
        else:
            if parent not in parents:
                parents[parent] = os.path.realpath(parent)
            whole = os.path.join(parents[parent], name)
        found.append("." if whole == here else whole.removeprefix(below))
    return found


def _by_age(parent: Path, wanted: Callable[[Path], bool], follow: bool) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []
    found = [parent / name for name in names if wanted(parent / name)]
    return sorted(map(landed, found) if follow else found, key=_age)


def _age(folder: Path) -> tuple[int, str]:
    # Both files are written once, at the start; a folder's own time moves with what is put into it.
    for name in (SWEEP_FILE, CONFIG, "."):
        try:
            return ((folder / name).stat().st_mtime_ns, folder.name)
        except OSError:
            continue
    return (0, folder.name)
