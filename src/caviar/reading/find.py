"""From what a person calls a run or a sweep to its folder.

A name is a path, a name under the outputs folder, or a word: ``latest``, ``-1`` (the same), ``-2`` (the
one before), ``best`` (the best run of the latest sweep), ``7`` (trial 7 of the latest sweep),
``SWEEP/7``, ``SWEEP/best``, ``latest/-1``. A sweep that ``caviar confirm`` ran goes by its name alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from caviar.base.direction import no_best, sign
from caviar.base.errors import UsageError, nearest, usage_error
from caviar.reading.sweep import Sweep
from caviar.runs.elsewhere import places
from caviar.runs.folder import CONFIRMED, TRIALS, outputs_root
from caviar.runs.places import (
    age,
    is_run,
    is_sweep,
    landed,
    run_folders,
    sweep_folders,
    trial_folders,
    unbegun,
)
from caviar.runs.sweep_file import read_sweep_file

_BACK = re.compile(r"-[1-9]\d*")
_CONFIRMING = re.compile(r"(.+)-confirm(-\d+)?")


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
    if sign(settings) is None:
        raise UsageError(f"run={sweep.name}/best: {no_best(settings)}; name a trial")
    ranked = Sweep(sweep, settings, lambda problems: None).ranked
    if not ranked:
        raise UsageError(f"run={sweep.name}/best: no trial of this sweep is complete")
    return ranked[0].folder


def _find(name: str, key: str, kind: str, folders: list[Path]) -> Path:
    root = outputs_root()
    if not name or "\0" in name:
        raise usage_error(key, repr(name), "not a name")
    if name == "latest" or _BACK.fullmatch(name):
        back = 1 if name == "latest" else -int(name)
        ordered = _by_age(folders)
        if back > len(ordered):
            raise UsageError(f"{key}={name}: there are {len(ordered)} {kind} in {root}")
        return ordered[-back]
    if name == "best":
        return best_run(find_sweep("latest"))
    for place in (Path.cwd(), root, root / "runs", root / "sweeps", *places()):
        folder = place / name
        if folder.is_dir() and (is_sweep(folder) or is_run(folder)):
            return folder
    if (never := unbegun(name)) is not None:
        what = "a sweep that was killed as it started; nothing had begun in it"
        raise UsageError(f"{key}={name}: {what} (caviar runs rm {name} removes {never})")
    head, slash, tail = name.rstrip("/").rpartition("/")
    if slash and re.fullmatch(r"\d+|best|latest|-[1-9]\d*", tail):
        return _trial(find_sweep(head), tail)
    if name.isdecimal() and (sweeps := _by_age(sweep_folders())):
        return _trial(sweeps[-1], name)
    if Path(name).is_dir():
        raise UsageError(f"{key}={name}: that folder is neither a run's nor a sweep's")
    choices, problem = [folder.name for folder in folders], f"none of the {kind} in {root}"
    if len(choices) <= 10:
        raise usage_error(key, name, problem, choices)
    # All names would be too long a line: the nearest alone.
    near = nearest(name, choices)
    raise usage_error(key, name, problem + (f"; did you mean {near}?" if near else ""))


def _by_age(folders: list[Path]) -> list[Path]:
    """Runs and sweeps, oldest first, without those that a confirm ran: these go by their names."""
    return sorted((folder for folder in folders if not _confirms(folder)), key=age)


def _confirms(folder: Path) -> bool:
    of = _CONFIRMING.fullmatch(folder.name)
    return of is not None and (folder.with_name(of[1]) / CONFIRMED).is_file()


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
