"""``caviar logs``: what a run wrote, also while it still writes."""

from __future__ import annotations

import codecs
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.commands.runs.arguments import OneRun
from caviar.commands.tables import say
from caviar.runs.inside import open_inside

POLL_SECONDS = 0.1
CHUNK = 1 << 16
LONGEST = 1 << 26
"""Bytes that the last lines may have: what has more is cut, as a file without a newline."""


def logs(
    run: OneRun,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", min=0, help="Only so many last lines.")
    ] = None,
) -> None:
    """Print a run's output; its traceback too, where it failed.

    Examples:

      caviar logs 7

      caviar logs latest/-1 -f

      caviar logs wide/7 --lines 20
    """
    from caviar.reading.find import find_run
    from caviar.runs.files import unreadable
    from caviar.runs.folder import LOG

    folder = find_run(run)
    path = folder / LOG
    if not path.is_file() and not (follow and _under_way(folder)):
        raise UsageError(f"run={run}: it has no {LOG} ({folder})")
    try:
        text = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), True)
        for piece in _pieces(path, folder, follow, lines):
            echo(text.decode(piece), end="")
        echo(text.decode(b"", final=True), end="")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:
        raise UsageError(unreadable(path, error)) from None


def _pieces(path: Path, folder: Path, follow: bool, lines: int | None) -> Iterator[bytes]:
    position = 0
    if lines is not None and path.is_file():
        position = _start_of_last(path, lines)
    while True:
        # Asked before the file is read: what a run wrote until it ended is then all there.
        going = follow and _under_way(folder)
        if path.is_file():
            with open_inside(path, "rb") as file:
                if file.seek(0, 2) < position:
                    position = 0  # another try of the trial began the file anew
                file.seek(position)
                while piece := file.read(CHUNK):
                    position += len(piece)
                    yield piece
        if not going:
            break
        time.sleep(POLL_SECONDS)
    if follow:
        say(f"{folder.name}: {_state(folder)}")


def _under_way(folder: Path) -> bool:
    """Whether the run may still write: it says RUNNING, and its sweep or it has a process."""
    from caviar.runs.folder import LOG, TRIALS
    from caviar.runs.program import under_way
    from caviar.sweep.owner import is_running

    if _state(folder) != "RUNNING":
        return False
    if folder.parent.name == TRIALS:
        return is_running(folder.parent.parent)
    return under_way(folder) or not os.path.lexists(folder / LOG)


def _state(folder: Path) -> str:
    from caviar.runs.folder import Result

    try:
        return Result.read(folder).state
    except UsageError:
        return "RUNNING"  # it is about to write its first result


def _start_of_last(path: Path, lines: int) -> int:
    """Where the last ``lines`` lines of a file begin; reads from its end."""
    with open_inside(path, "rb") as file:
        end = file.seek(0, 2)
        if lines == 0:
            return end
        place, past = end, 1  # the newline that ends the last line begins no other
        while place > 0 and end - place < LONGEST:
            start = max(place - CHUNK, 0)
            file.seek(start)
            data = file.read(place - start)
            at = len(data) - past
            while (at := data.rfind(b"\n", 0, at)) >= 0:
                lines -= 1
                if lines == 0:
                    return start + at + 1
            place, past = start, 0
        return place
