"""How a run was started, and whether it is under way still: what it takes to start it again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from caviar.base.errors import UsageError
from caviar.runs import locks
from caviar.runs.folder import LOG

PROGRAM = "program"
"""The fact of a single run's ``result.json`` that holds what `program` gives."""


def program() -> dict[str, Any]:
    """This process: its module or script and which config it has, its working directory, its threads."""
    module, script = started_as()
    started = {"module": module, "script": script, "options": config_options(sys.argv[1:])}
    return {**started, "cwd": os.getcwd(), "threads": os.environ.get("OMP_NUM_THREADS")}


def started_as() -> tuple[str | None, str | None]:
    """The module of ``python -m``, or the script's path."""
    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    if len(words) > 1 and words[-2] == "-m":
        return words[-1], None
    # A program that was called by another has that one's words, which may be fewer than its own.
    return None, str(Path(words[-1] if words else sys.argv[0]).absolute())


def command_of(started: Mapping[str, Any], overrides: Sequence[str]) -> list[str] | None:
    """The command that a run was started with; None where that is not known."""
    module, script = started.get("module"), started.get("script")
    if not module and not script:
        return None
    app = ["-m", str(module)] if module else [str(script)]
    given = started.get("options")
    options = map(str, cast("list[Any]", given)) if isinstance(given, list) else list[str]()
    return ["python", *app, *options, *overrides]


def split(command: Sequence[Any]) -> tuple[list[str], list[str]]:
    """A command's program, with what Python is told, and the program's own arguments."""
    program, words = [str(word) for word in command[:1]], [str(word) for word in command[1:]]
    while words:
        word = words.pop(0)
        program.append(word)
        if word in {"-m", "-c", "-W", "-X"} and words:
            program.append(words.pop(0))
        if word in {"-m", "-c"} or not word.startswith("-"):  # Hydra's -m comes after it
            break
    return program, words


def config_options(words: Sequence[str]) -> list[str]:
    """The options among a Hydra app's arguments that say which config it has, each as one word."""
    whole = {"-cn": "--config-name", "-cp": "--config-path", "-cd": "--config-dir"}
    found: list[str] = []
    left = list(words)
    while left:
        option, equals, value = left.pop(0).partition("=")
        option = whole.get(option, option)
        if option in whole.values() and (equals or left):
            found.append(f"{option}={value if equals else left.pop(0)}")
    return found


def hold(run: Path) -> IO[str]:
    """Say that this process trains the single run ``run``, until the file that is returned is closed.

    Raises:
        UsageError: another process trains it.
    """
    file = locks.hold(run / LOG)
    if file is None:
        raise UsageError(f"run={run.name}: another process is training it")
    return file


def under_way(run: Path) -> bool:
    """Whether a process trains the single run ``run``."""
    return bool(locks.is_held(run / LOG))
