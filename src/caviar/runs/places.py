"""Folders of runs and sweeps: which are some, where they lie, how they are named in a command."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from caviar.base.errors import UsageError
from caviar.runs.elsewhere import places
from caviar.runs.folder import CONFIG, RESULT, TRIALS, outputs_root

SWEEP_FILE = "sweep.yaml"
JOURNAL = "study.journal"


def is_sweep(folder: Path) -> bool:
    """Whether ``folder`` is a sweep's."""
    return (folder / SWEEP_FILE).is_file() or (folder / TRIALS).is_dir()


_OF_A_START = re.compile(
    r"owner\.(lock|json)|workers\.txt|study\.journal(\.lock)?|request|\..+\.partial|"
    r"agents\.token|slurm-.+\.txt"
)


def never_began(folder: Path) -> bool:
    """Whether ``folder`` is of a sweep that was killed as it started, with nothing to go on with."""
    try:
        return all(_OF_A_START.fullmatch(name) for name in os.listdir(folder))
    except OSError:
        return False


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run's."""
    return (folder / RESULT).is_file() or (folder / CONFIG).is_file()


def sweep_folders(root: Path | None = None, follow: bool = True) -> list[Path]:
    """The sweeps under the outputs folder, oldest first; ``follow``: see `find`.

    Where no ``root`` is given, those too that were begun here and lie elsewhere.
    """
    found = _by_age((root or outputs_root()) / "sweeps", is_sweep, follow)
    if root is None:
        found += [one for place in places() for one in _by_age(place, is_sweep, follow)]
    return sorted(dict.fromkeys(found), key=age)


def run_folders(root: Path | None = None, follow: bool = True) -> list[Path]:
    """The single runs under the outputs folder, oldest first; ``follow``: see `find`."""
    return _by_age((root or outputs_root()) / "runs", is_run, follow)


def trial_folders(sweep: Path) -> list[Path]:
    """Those of `in_trials` that are folders."""
    return [folder for folder in in_trials(sweep) if folder.is_dir()]


def in_trials(sweep: Path) -> list[Path]:
    """All that is in a sweep's ``trials``, by name, so by number.

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


def landed(folder: Path) -> Path:
    """Where a link leads that a person has put in a run's or a sweep's place; one among trials came along.

    Raises:
        UsageError: it is in a sweep whose ``trials`` are a link.
    """
    if folder.parent.name == TRIALS:
        in_trials(folder.parent.parent)
        return folder
    return folder.resolve() if folder.is_symlink() else folder


def inside(folder: Path, name: object) -> Path | None:
    """``folder / name`` resolved, or None where that leads out of ``folder`` (``..``, a link)."""
    if not isinstance(name, str | Path) or "\0" in str(name):
        return None
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError):  # links that lead to one another
        return None
    return path if path.is_relative_to(folder.resolve()) else None


def typed(path: Path | str) -> str:
    """A path as a shell takes it in any folder: whole, quoted where it must be, ``~`` for one's home."""
    whole, home = os.path.abspath(path), os.path.expanduser("~").rstrip("/")
    if home.startswith("/") and whole.startswith(f"{home}/"):
        return f"~/{shlex.quote(whole.removeprefix(f'{home}/'))}"
    return shlex.quote(whole)


def from_here(path: Path) -> str:
    """A path as a command that is run in this folder takes it: relative where it lies below."""
    return all_from_here([path])[0]


def all_from_here(paths: Iterable[Path]) -> list[str]:
    """`from_here` of many paths; a folder that several are in is resolved once."""
    here = os.getcwd()
    below = here.rstrip("/") + "/"
    parents: dict[str, str] = {}
    found: list[str] = []
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
    return sorted(map(landed, found) if follow else found, key=age)


def age(folder: Path) -> tuple[int, str]:
    """The sort key of runs and sweeps by age."""
    # Both files are written once, at the start; a folder's own time moves with what is put into it.
    for name in (SWEEP_FILE, CONFIG, "."):
        try:
            return ((folder / name).stat().st_mtime_ns, folder.name)
        except OSError:
            continue
    return (0, folder.name)


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
