"""From what a person calls a run or a sweep to its folder."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caviar.errors import UsageError, nearest
from caviar.runs.folder import CONFIG, RESULT
from caviar.runs.sweep_folder import SWEEP, directions, read, trial_folders

KINDS = {"runs": "run", "sweeps": "sweep"}
"""The folders under outputs, and what is in each."""

HOW = "a path, a name under outputs, latest, -1, -2, SWEEP/7, SWEEP/best or best"


def outputs() -> Path:
    """Where runs and sweeps are kept: ``$CAVIAR_OUTPUTS``, else ``outputs`` in the working directory."""
    return Path(os.environ.get("CAVIAR_OUTPUTS") or "outputs").absolute()


def find(name: str) -> Path:
    """The folder of the run or sweep that a person calls ``name``.

    A name is a path; or a name under outputs; or ``latest`` or ``-1`` (the newest of all single runs and
    sweeps), ``-2`` (the one before); or ``SWEEP/7``, ``SWEEP/best``, ``SWEEP/latest``, ``SWEEP/-1`` (a
    trial of a sweep); or ``best`` (the best trial of the newest sweep).

    Raises:
        UsageError: there is no such run or sweep.
    """
    return _find(name, ("run", "sweep"))


def find_sweep(name: str) -> Path:
    """The folder of the sweep that a person calls ``name``; ``latest``, ``-1``, … count sweeps alone.

    Raises:
        UsageError: there is no such sweep, or it is a run.
    """
    folder = _find(name, ("sweep",))
    if kind_of(folder) != "sweep":
        raise UsageError(f"{name}: a run, and not a sweep")
    return folder


def find_run(name: str) -> Path:
    """The folder of the run that a person calls ``name``: a single run, or a trial of a sweep.

    Raises:
        UsageError: there is no such run, or it is a sweep.
    """
    folder = _find(name, ("run", "sweep"))
    if kind_of(folder) != "run":
        raise UsageError(
            f"{name}: {folder.name} is a sweep; name a trial of it, as in {name}/best or {name}/0"
        )
    return folder


def kind_of(folder: Path) -> str | None:
    """What is in a folder: ``sweep``, ``run``, or None."""
    try:
        if (folder / SWEEP).is_file():
            return "sweep"
        if (folder / RESULT).is_file() or (folder / CONFIG).is_file():
            return "run"
    except OSError:
        pass  # a name too long, a folder that may not be looked into
    return None


def newest_first(kinds: Iterable[str] = ("run", "sweep"), root: Path | None = None) -> list[Path]:
    """The single runs and sweeps under outputs, by when they were started (or gone on with) last."""
    found: list[tuple[float, str, Path]] = []
    for folder, kind in KINDS.items():
        place = (root or outputs()) / folder
        if kind not in kinds or not place.is_dir():
            continue
        for path in place.iterdir():
            began = _began(path)
            if began is not None:
                found.append((began, path.name, path))
    return [path for _, _, path in sorted(found, reverse=True)]


def best_trial(sweep: Path) -> Path:
    """The run folder of a sweep's best complete trial; of equals, the first.

    Raises:
        UsageError: no trial is complete yet, or there are several objectives and so no one best.
    """
    wanted = directions(read(sweep))
    if len(wanted) > 1:
        raise UsageError(
            f"{sweep}: {len(wanted)} objectives have no one best trial; name one by number"
        )
    sign = -1 if wanted == ["maximize"] else 1
    best: tuple[float, Path] | None = None
    for folder in trial_folders(sweep)[0].values():
        value = _score(folder)
        if value is not None and (best is None or sign * value < best[0]):
            best = sign * value, folder
    if best is None:
        raise UsageError(f"{sweep}: no trial is complete yet, so none is best")
    return best[1]


def inside(path: Path, root: Path) -> Path | None:
    """``path``, resolved; None where it leads out of ``root``: what a run wrote is not to be trusted."""
    try:
        resolved = (root / path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return resolved if resolved.is_relative_to(root.resolve()) else None


def _find(name: str, kinds: tuple[str, ...]) -> Path:
    if name.startswith("-") and not re.match(r"-\d+(/|$)", name):
        raise UsageError(f"{name}: no such option")
    if "\0" in name or not name:
        raise UsageError(f"{name!r}: no run or sweep is called so ({HOW})")
    whole = _whole(name, kinds)
    if whole is not None:
        return whole
    if name == "best":
        return best_trial(_find("latest", ("sweep",)))
    sweep_name, slash, trial = name.rstrip("/").rpartition("/")
    if slash and re.fullmatch(r"best|latest|-?\d+", trial):
        sweep = _find(sweep_name or "/", ("sweep",))
        if kind_of(sweep) != "sweep":
            raise UsageError(f"{name}: {sweep_name} is a run, and has no trials")
        return _trial(sweep, trial)
    raise _unknown(name, kinds)


def _whole(name: str, kinds: tuple[str, ...]) -> Path | None:
    """A name that is not one of a trial: a path, a name under outputs, or a place in time."""
    if name == "latest" or re.fullmatch(r"-\d+", name):
        back = 1 if name == "latest" else -int(name)
        known = newest_first(kinds)
        if not 1 <= back <= len(known):
            what = " or ".join(kinds)
            raise UsageError(f"{name}: there is no such {what}; {outputs()} holds {len(known)}")
        return known[back - 1]
    path = Path(name).expanduser()
    if kind_of(path):
        return path.absolute()
    for folder, kind in KINDS.items():
        place = outputs() / folder
        path = place / name
        if kind in kinds and inside(path, place) and kind_of(path) == kind:
            return path
    return None


def _trial(sweep: Path, trial: str) -> Path:
    if trial == "best":
        return best_trial(sweep)
    folders = trial_folders(sweep)[0]
    if not folders:
        raise UsageError(f"{sweep}: no trial has been started yet")
    if trial == "latest" or trial.startswith("-"):
        back = 1 if trial == "latest" else -int(trial)
        if 1 <= back <= len(folders):
            return list(folders.values())[-back]
    elif int(trial) in folders:
        return folders[int(trial)]
    raise UsageError(
        f"{sweep.name}/{trial}: no such trial; it has {len(folders)}, up to {max(folders)}"
    )


def _unknown(name: str, kinds: tuple[str, ...]) -> UsageError:
    known = [path.name for path in newest_first(kinds)]
    near = nearest(name, known)
    what = " or ".join(kinds)
    path = Path(name).expanduser()
    if len(name) < 1000 and path.is_dir():
        return UsageError(f"{name}: not the folder of a {what} (it has no {SWEEP} and no {RESULT})")
    return UsageError(
        f"{name}: no {what} is called so in {outputs()}"
        + (f"; did you mean {near}?" if near else "")
        + f" ({HOW})"
    )


def _began(folder: Path) -> float | None:
    # A sweep's settings are written when it starts or goes on, a run's config when it starts.
    for name in (SWEEP, CONFIG, RESULT):
        try:
            return (folder / name).stat().st_mtime
        except OSError:
            continue
    return None


def _score(folder: Path) -> float | None:
    # Of the whole file two fields are wanted, of a thousand trials: read without any ceremony.
    try:
        result: Any = json.loads((folder / RESULT).read_bytes())
        value = result["value"] if result["state"] == "COMPLETE" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None
