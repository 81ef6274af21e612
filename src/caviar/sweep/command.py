"""The command that a sweep's folder records, and whether it may be run again.

``sweep.yaml`` is only text, and a folder may come from somebody else: run as it stands, it would be
their program. So it is run where the sweep is ours (`caviar.runs.ours`), or where the user says so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.runs.ours import check_trusted
from caviar.runs.places import SWEEP_FILE
from caviar.runs.program import split


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
