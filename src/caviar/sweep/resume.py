"""Going on with a sweep: its command is started again, and an environment variable names its folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from caviar.base.direction import directions, no_best
from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.runs.sweep_file import read_sweep_file
from caviar.space.space import Space
from caviar.sweep import record
from caviar.sweep.owner import is_running, named, owner_of
from caviar.sweep.record import HIDDEN, Command, command_to_run
from caviar.sweep.settings import RESUMED, Settings

_FOLDER = "CAVIAR_RESUME"
_TRIALS = "CAVIAR_RESUME_TRIALS"
_STORAGE = "CAVIAR_RESUME_STORAGE"
_GROUPS = ("executor", "hydra/sweeper/executor")
"""What chooses an executor: a config group of the project's, and Hydra's own."""


def become(command: Command, environment: Mapping[str, str]) -> None:
    """Replace this process by a command, in its folder and with more in its environment."""
    line = shlex.join(["python", *command.program[1:], *command.words])
    echo(f"in {command.folder}: {line}")
    os.environ.update(environment)
    os.chdir(command.folder)
    os.execv(command.program[0], [*command.program, *command.words])


def to_resume(
    folder: Path,
    n_trials: int | None = None,
    storage: str | None = None,
    trust: bool = False,
    executor: Sequence[str] = (),
) -> tuple[Command, dict[str, str]]:
    """The sweep's own command, and the environment with which it goes on in ``folder``.

    Args:
        folder: the sweep's.
        n_trials: how many trials there shall be in total; None for as many as were planned.
        storage: the study's URL, where it has a password: that is not kept.
        trust: run what the folder says, whatever that is.
        executor: overrides that choose another executor, and set it.

    Raises:
        UsageError: it is no sweep, somebody is running it, more of a confirming sweep is asked for, or
            what it would run is not the task of the project at hand.
    """
    recorded = read_sweep_file(folder, whole=True)
    if n_trials is not None and record.CANDIDATE in recorded["space"]:
        why = "a confirming sweep trains what was planned; caviar confirm the first sweep again"
        raise usage_error("n_trials", n_trials, why)
    if is_running(folder):
        raise UsageError(f"{folder}: {named(owner_of(folder))} is running this sweep")
    command = command_to_run(folder, recorded, "resume", trust)
    if executor:
        words = command.words
        if any(word.partition("=")[0].lstrip("+") in _GROUPS for word in executor):
            # What the other one is set by, this one may not have.
            words = [word for word in words if not chooses_executor(word.partition("=")[0])]
        command = replace(command, words=[*words, *executor])
    given = {_FOLDER: folder.resolve(), _TRIALS: n_trials, _STORAGE: storage}
    environment = {key: str(value) for key, value in given.items() if value is not None}
    return command, environment


def chooses_executor(key: str) -> bool:
    """Whether an override of this key chooses an executor, or sets the one that is chosen."""
    return key.lstrip("+~") in _GROUPS or key.lstrip("+~").startswith("hydra.sweeper.executor.")


def folder_to_resume() -> Path | None:
    """The folder that this process is to go on in, by its environment; the second call gives None."""
    folder = os.environ.pop(_FOLDER, None)
    return Path(folder) if folder else None


def recorded_settings(settings: Settings, recorded: Mapping[str, Any]) -> Settings:
    """``settings`` with all that decides which trials come next as it was when the sweep began.

    Raises:
        UsageError: the study's URL lacks its password, or it is not known what is better.
    """
    if not directions(recorded):
        raise UsageError(f"direction: {no_best(recorded)}")
    wanted = os.environ.pop(_TRIALS, None)
    storage = os.environ.pop(_STORAGE, settings.storage)
    if HIDDEN in str(storage):
        raise usage_error("storage", storage, "the password is not kept; resume with storage=URL")
    n_trials = int(wanted) if wanted else recorded["n_trials"]
    kept = {name: recorded.get(name) for name in RESUMED}
    return Settings.read({**vars(settings), **kept, "n_trials": n_trials, "storage": storage})


def check_same_space(space: Space, recorded: Mapping[str, Any], folder: Path) -> None:
    """Raise UsageError where the configs have changed so that another space is searched now."""
    now = record.describe_space(space)
    for part in ("space", "when"):
        before: Mapping[str, Any] = recorded.get(part) or {}
        for name in [*before, *now[part]]:
            if before.get(name) != now[part].get(name):
                raise UsageError(
                    f"{part}.{name}={now[part].get(name)}: it was {before.get(name)} when "
                    f"{folder.name} began; a sweep has one space"
                )
