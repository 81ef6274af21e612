"""The command that a sweep's folder records, and whether it may be run again.

A folder may come from somebody else, and ``sweep.yaml`` is only text: run as it stands, it would be
their program. So it may name a task of the project that the user is working in, nothing else, and
tell it nothing that widens what a config may bring to life.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from caviar.errors import UsageError
from caviar.runs.program import split

_MARKS = ("pyproject.toml", "setup.py", ".git")
"""A folder that has one of these is a project's."""

_OURS = re.compile(r"hydra/sweeper(/\w+)?|hydra\.sweeper\.(?!_)\w+(\..+)?|hydra\.sweep\.(sub)?dir")
"""Hydra's own settings that a recorded command may hold; others name files, and classes to make."""


class GoneError(UsageError):
    """What a sweep ran is not there any more: no trust brings it back."""


@dataclass(frozen=True)
class Command:
    """A program and its arguments, in the folder where it was started.

    Attributes:
        program: this Python and ``-m MODULE`` or a script.
        words: what the program is told.
        folder: where it runs.
    """

    program: list[str]
    words: list[str]
    folder: Path


def command_to_run(folder: Path, recorded: Mapping[str, Any], verb: str, trust: bool) -> Command:
    """The command of the sweep in ``folder``, as far as it may be run.

    Args:
        verb: the command of `caviar` that would run it, for the error's advice.
        trust: take it as it is recorded, whatever that is.

    Raises:
        UsageError: see `recorded_command`; or the folder that it was started in is gone.
    """
    if not trust:
        try:
            return recorded_command(folder, recorded)
        except GoneError:
            raise
        except UsageError as error:
            again = f"caviar {verb} {shlex.quote(str(folder))} --trust"
            raise UsageError(f"{error} (where you trust it: {again})") from None
    program, words = split(recorded["command"])
    command = Command([sys.executable, *program[1:]], words, Path(recorded["folder"]))
    if not command.folder.is_dir():
        raise GoneError(f"{folder}: the folder it was started in is gone: {command.folder}")
    return command


def recorded_command(folder: Path, recorded: Mapping[str, Any]) -> Command:
    """The command of the sweep in ``folder``, which this project's own task is part of.

    Raises:
        UsageError: the folder is not the user's, or the command is not of the project at hand.
    """
    _check_folder(folder)
    project = _project(Path.cwd())
    where = Path(str(recorded.get("folder") or project))
    if not where.is_dir():
        raise GoneError(f"{folder}: the folder it was started in is gone: {where}")
    if not _inside(where, project):
        raise UsageError(
            f"{folder}: it was started in {where}, outside the project here ({project}); go there first"
        )
    program, words = split(recorded.get("command") or [])
    # What Python itself was told (-X, -W) is left out: it can name code too.
    task = program[-2:] if len(program) > 2 and program[-2] == "-m" else program[-1:]
    if len(program) < 2 or "-c" in program or not task[-1].strip():
        raise UsageError(f"{folder}: its command runs neither a module nor a script of a project")
    file = _file_of_module(task[1], where) if len(task) == 2 else (where / task[0]).resolve()
    # A project that is installed in place (editable) is the user's, from wherever it is run.
    installed = None if file or len(task) < 2 else _file_on_path(task[1])
    file = file or installed
    if file is None or not file.is_file():
        raise GoneError(f"{folder}: its task {task[-1]} is not there any more (was it renamed?)")
    ours = installed is not None or _inside(file, project)
    if not ours or _packaged(file) or _came_along(file, folder):
        raise UsageError(
            f"{folder}: its task {task[-1]} is {file}, which is no part of the project here ({project})"
        )
    for word in _screened(words):
        raise UsageError(f"{folder}: its command says {word}, which can make it run anything")
    return Command([sys.executable, *task], words, where)


def _project(folder: Path) -> Path:
    """The project that a folder is in: the nearest one above that has a mark, else itself."""
    above = (f for f in (folder, *folder.parents) if any((f / mark).exists() for mark in _MARKS))
    return next(above, folder).resolve()


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def _packaged(file: Path) -> bool:
    """Whether a file is Python's own or a package's; some of them run whatever they are told."""
    own = any(
        _inside(file, Path(sysconfig.get_path(n)).resolve()) for n in ("stdlib", "platstdlib")
    )
    return own or bool({"site-packages", "dist-packages"} & set(file.parts))


def _came_along(file: Path, sweep: Path) -> bool:
    """Whether a file is in the sweep's folder or beside it: it may have come in one parcel."""
    sweep, here = sweep.resolve(), Path.cwd()
    working_in_it = here.is_relative_to(sweep.parent)
    return _inside(file, sweep if working_in_it else sweep.parent)


def _file_of_module(name: str, where: Path) -> Path | None:
    """The file under ``where`` that ``python -m NAME``, run there, takes first."""
    top, *rest = name.split(".")
    root = where / top
    return _first([root], rest) if root.is_dir() or root.with_suffix(".py").exists() else None


def _file_on_path(name: str) -> Path | None:
    """The file that this Python would run for ``-m NAME``, found without importing anything."""
    top, *rest = name.split(".")
    spec = find_spec(top) if top.isidentifier() else None
    if spec is None or not (spec.origin or spec.submodule_search_locations):
        return None
    places = spec.submodule_search_locations or [str(spec.origin).removesuffix(".py")]
    return _first([Path(place) for place in places], rest)


def _first(roots: Sequence[Path], rest: Sequence[str]) -> Path | None:
    paths = [root.joinpath(*rest) for root in roots]
    found = (f for path in paths for f in (path / "__main__.py", path.with_suffix(".py")))
    return next((file.resolve() for file in found if file.is_file()), None)


def _screened(words: Sequence[str]) -> list[str]:
    """Those arguments that could reach code or configs outside the project."""
    refused, left = [], list(words)
    while left:
        word = left.pop(0)
        if word in ("-m", "--multirun"):
            continue
        if word in ("-cn", "--config-name") and left:
            word = f"--config-name={left.pop(0)}"
        if word.startswith("-") and not re.fullmatch(r"--config-name=[\w./-]+", word):
            refused.append(word)
        key = re.split(r"[=@:]", word.lstrip("+~-"), maxsplit=1)[0]
        outside = key.partition(".")[0] == "allow" or "_target_" in word
        strange = key.partition(".")[0].partition("/")[0] == "hydra" and not _OURS.fullmatch(key)
        if outside or strange or re.search(r"(?<![\w.])\.\.(?![\w.])", word):  # a folder above
            refused.append(word)
    return refused


def _check_folder(folder: Path) -> None:
    """Raise UsageError unless a sweep's folder is this user's, and leads to nowhere else."""
    for path in (folder, folder / "sweep.yaml"):
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise UsageError(f"{path}: it belongs to user {_name(found.st_uid)}, not to you")
        if found.st_mode & 0o002:
            raise UsageError(
                f"{path}: anybody may write it; chmod o-w it, if you know what is in it"
            )
    for place in (folder, folder / "trials"):
        for entry in place.iterdir() if place.is_dir() else ():
            if entry.is_symlink():
                raise UsageError(f"{entry}: a link, which leads out of the sweep's folder")


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
