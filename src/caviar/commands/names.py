"""Names of runs and sweeps on the command line: ``-1`` is one of them, and a shell may complete them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from caviar.base.errors import UsageError

NAMES: dict[str, Any] = {"ignore_unknown_options": True}
"""Settings of a command that takes names: without them ``-1`` would be taken for an option."""


def named(help: str, complete: Callable[[str], list[str]], metavar: str | None = None) -> Any:
    """An argument that takes a name, or several: no options, which come in as names."""
    return typer.Argument(
        metavar=metavar, help=help, autocompletion=complete, callback=without_options
    )


def without_options(given: Any) -> Any:
    """The name or names that are given.

    Raises:
        UsageError: an option that the command does not have came in as a name.
    """
    for name in [given] if isinstance(given, str) else given or ():
        if name.startswith("-") and not re.match(r"-\d", name):
            raise UsageError(f"{name}: no such option (--help lists them)")
    return given


def sweep_folder(name: str) -> Path:
    """The folder of a sweep; what lies at a path is taken as it is, for whoever reads it to judge.

    Raises:
        UsageError: there is neither such a folder nor a sweep of that name.
    """
    from caviar.reading.find import find_sweep
    from caviar.runs.places import landed

    folder = Path(name)
    return landed(folder) if folder.is_dir() else find_sweep(name)


def complete_sweep(incomplete: str) -> list[str]:
    """Sweeps whose names begin so, newest first."""
    from caviar.runs.places import sweep_folders

    return _beginning(incomplete, ["latest", *_newest(sweep_folders())])


def complete_single(incomplete: str) -> list[str]:
    """Runs that no sweep asked for whose names begin so, newest first."""
    from caviar.runs.places import run_folders

    return _beginning(incomplete, ["latest", *_newest(run_folders())])


def complete_either(incomplete: str) -> list[str]:
    """Sweeps and single runs whose names begin so."""
    return list(dict.fromkeys([*complete_sweep(incomplete), *complete_single(incomplete)]))


def complete_run(incomplete: str) -> list[str]:
    """Runs whose names begin so, newest first; after ``SWEEP/``, its trials."""
    from caviar.reading.find import find_sweep
    from caviar.runs.places import run_folders, trial_folders

    head, slash, _ = incomplete.rpartition("/")
    if slash:
        try:
            trials = trial_folders(find_sweep(head))
        except UsageError:
            return []
        found = (folder.name for folder in trials)
        numbers = (str(int(name)) if name.isdecimal() else name for name in found)
        names = [f"{head}/best", *(f"{head}/{number}" for number in numbers)]
    else:
        sweeps = (f"{name}/" for name in complete_sweep(""))
        names = ["best", "latest", *_newest(run_folders()), *sweeps]
    return _beginning(incomplete, names)


def _newest(folders: list[Path]) -> Iterator[str]:
    """The names of folders that come oldest first."""
    return (folder.name for folder in reversed(folders))


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
