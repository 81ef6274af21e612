"""Which words of a run's folder may stand on a command line that is run, or printed to be pasted.

An override may name code (``_target_``, ``allow``), configs elsewhere (``--config-dir``,
``hydra.searchpath``) or files to write, so what a folder says is looked at before it becomes a word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from caviar.runs.places import typed
from caviar.runs.program import split

_OVERRIDE = re.compile(r"[+~]{0,2}[A-Za-z_][\w./@:-]*(=.*)?", re.DOTALL)
_SWEEPERS = re.compile(
    r"hydra/sweeper(/\w+)?|hydra\.sweeper\.(?!_)(?!storage|check|build|params)\w+(\.(?!_)\w+)*"
)
"""Hydra's own settings that are the sweep's; others name files, and classes to make."""

_OPTION = re.compile(r"-m|--multirun|--config-name=\w[\w-]*")
"""Options that a command of anybody's may have."""

_REACHES = re.compile(r"_target_|\$\{|(?<![\w.])\.\.(?![\w.])|(?<!\w)allow(?!\w)")
_ELSEWHERE = re.compile(r"(?:^|[=\[,{:'\"\s])(?:/|~|\w+://)")
"""A path that is not relative, or an URL."""


def is_harmless(word: str, strict: bool = True) -> bool:
    """Whether an override reaches neither code nor configs elsewhere.

    Args:
        strict: it names no path outside the working folder either.
    """
    key = re.split(r"[=@:]", word.lstrip("+~"), maxsplit=1)[0]
    top = re.split(r"[./]", key)[0]
    return bool(
        word.isprintable()
        and _OVERRIDE.fullmatch(word)
        and top != "allow"
        and (top != "hydra" or _SWEEPERS.fullmatch(key))
        and not _REACHES.search(word)
        and not (strict and _ELSEWHERE.search(word.lstrip("+~")))
    )


def to_paste(
    command: Sequence[str], new: Iterable[str], ours: bool, folder: object = None
) -> str | None:
    """A shell command for a person to paste; None where a word of it is not to be trusted.

    Args:
        command: what a folder says was run, Python's own name first.
        new: those words of it that no signature covers.
        ours: the folder is ours (`caviar.runs.ours`): its recorded words are those that the user gave.
        folder: where it was run, for the command to go there first, unless that is here.
    """
    program, words = split(command)
    if ours:
        fit = all(is_harmless(word, strict=False) for word in new)
    else:
        plain = [word for word in words if not _OPTION.fullmatch(word)]
        fit = _is_of_the_project(program[1:]) and all(map(is_harmless, [*plain, *new]))
    if not fit:
        return None
    there = Path(folder) if ours and isinstance(folder, str) else Path()
    away = there.is_dir() and not there.samefile(".")
    return (f"cd {typed(there)} && " if away else "") + shlex.join(["python", *program[1:], *words])


def _is_of_the_project(program: Sequence[str]) -> bool:
    """Whether a program is the project's module, or a script in the working folder itself."""
    # Imported here: it brings Hydra, which a list of runs need not wait for.
    from caviar.base.security import ALLOWED

    program = [word for word in program if word != "-P"]
    if len(program) == 2 and program[0] == "-m":
        return bool(re.fullmatch(r"[\w.]+", program[1])) and program[1].startswith(tuple(ALLOWED))
    return len(program) == 1 and bool(re.fullmatch(r"\w[\w.-]*\.py", program[0]))
