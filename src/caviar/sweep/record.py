"""``sweep.yaml``: what it takes to read a sweep, to start it again, or to go on with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.base.objectives import as_given
from caviar.runs.code import git_commit, versions
from caviar.runs.files import write_atomic
from caviar.runs.ours import check_trusted, mark
from caviar.runs.places import JOURNAL, SWEEP_FILE
from caviar.runs.program import split
from caviar.runs.sweep_file import SCHEMA
from caviar.runs.text import to_yaml
from caviar.space.space import Space
from caviar.sweep.settings import Settings

CANDIDATE = "+candidate"
"""The hyperparameter of a sweep that confirms another one: which of its trials a trial repeats."""


def write(folder: Path, described: Mapping[str, Any]) -> None:
    """Write ``sweep.yaml``, and sign it."""
    text = to_yaml(dict(described))
    mark(folder, {SWEEP_FILE: text})
    write_atomic(folder / SWEEP_FILE, text)


def describe(
    settings: Settings, space: Space, n_trials: int, arguments: list[str], study: str
) -> dict[str, Any]:
    """What ``sweep.yaml`` holds for a sweep that is about to start; no password is written down."""
    storage = without_password(settings.storage)
    words = [word.replace(str(settings.storage), str(storage)) for word in sys.orig_argv[1:]]
    return {
        "schema": SCHEMA,
        **{name: value for name, value in vars(settings).items() if name != "params"},
        **describe_space(space),
        "n_trials": n_trials,
        "direction": as_given(settings.directions),
        "storage": storage or JOURNAL,
        "study": study,
        "command": [sys.executable, *words],
        "folder": str(Path.cwd()),
        "overrides": arguments,
        "versions": versions(),
        "git_commit": git_commit(),
    }


def describe_space(space: Space) -> dict[str, Any]:
    """A space in the grammar, as ``space`` and ``when``."""
    return {
        "space": {h.name: str(h) for h in space.hyperparameters},
        "when": {name: {p: list(v) for p, v in c.items()} for name, c in space.conditions.items()},
    }


HIDDEN = ":***@"
"""Stands in an URL where its password was."""


def without_password(url: str | None) -> str | None:
    """A storage's URL, fit to be written down."""
    if url is None or "@" not in url:
        return url
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


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

    ``sweep.yaml`` is only text, and a folder may come from somebody else: run as it stands, it would be
    their program. So it is run where the sweep is ours, or where the user says so.

    Raises:
        UsageError: see `check_trusted`; or the script or the folder that it was started in is gone.
    """
    check_trusted(folder, SWEEP_FILE, verb, trust)
    program, words = split(recorded["command"])
    command = Command([sys.executable, *program[1:]], words, Path(str(recorded["folder"])))
    if not command.folder.is_dir():
        raise UsageError(f"{folder}: the folder it was started in is gone: {command.folder}")
    script = program[-1] if len(program) == 2 else ""
    if script.endswith(".py") and not (command.folder / script).is_file():
        raise UsageError(f"{folder}: its script {script} is not there any more (was it renamed?)")
    return command
