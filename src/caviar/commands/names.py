"""Names of runs and sweeps on the command line: ``-1`` is one of them, and a shell may complete them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError

NAMES: dict[str, Any] = {"ignore_unknown_options": True}
"""Settings of a command that takes names: without them ``-1`` would be taken for an option."""


def options_refused(names: Iterable[str]) -> None:
    """Raise UsageError where an option that the command does not have came in as a name."""
    for name in names:
        if name.startswith("-") and not re.match(r"-\d", name):
            raise UsageError(f"{name}: no such option (--help lists them)")


def sweep_folder(name: str) -> Path:
    """The folder of a sweep; what lies at a path is taken as it is, for whoever reads it to judge.

    Raises:
        UsageError: there is neither such a folder nor a sweep of that name.
    """
    from caviar.reading.find import find_sweep
    from caviar.runs.places import landed

    options_refused([name])
    folder = Path(name)
    return landed(folder) if folder.is_dir() else find_sweep(name)


def complete_sweep(incomplete: str) -> list[str]:
    """Sweeps whose names begin so, newest first."""
    from caviar.runs.places import sweep_folders

    names = ["latest", *(folder.name for folder in reversed(sweep_folders()))]
    return [name for name in names if name.startswith(incomplete)]


def complete_single(incomplete: str) -> list[str]:
    """Runs that no sweep asked for whose names begin so, newest first."""
    from caviar.runs.places import run_folders

    names = ["latest", *(folder.name for folder in reversed(run_folders()))]
    return [name for name in names if name.startswith(incomplete)]


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
        names = [f"{head}/best", *(f"{head}/{_number(folder.name)}" for folder in trials)]
    else:
        runs = (folder.name for folder in reversed(run_folders()))
        names = ["best", "latest", *runs, *(f"{name}/" for name in complete_sweep(""))]
    return [name for name in names if name.startswith(incomplete)]


def _number(name: str) -> str:
    return str(int(name)) if name.isdecimal() else name
