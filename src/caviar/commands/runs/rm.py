"""``caviar runs rm``: runs and sweeps removed from the disk."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from caviar.base.errors import UsageError
from caviar.commands.names import complete_run, named
from caviar.commands.tables import say


def rm(
    names: Annotated[list[str], named("Runs or sweeps.", complete_run, "NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed off a terminal.")] = False,
) -> None:
    """Remove runs or whole sweeps, with all their files. Asks first.

    Examples:

      caviar runs rm wide/7

      caviar runs rm 2026-01-02_03-04-05 --yes
    """
    from caviar.reading.find import TRIALS, find
    from caviar.runs.places import unbegun
    from caviar.sweep.owner import is_running

    folders = list(dict.fromkeys(unbegun(name) or find(name, follow=False) for name in names))
    for folder in folders:
        check_removable(folder)
        sweep = folder.parent.parent if folder.parent.name == TRIALS else folder
        if is_running(sweep):
            raise UsageError(
                f"{folder}: its sweep is under way; caviar cancel {sweep.name} ends it"
            )
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "runs rm: cannot ask, this is no terminal; --yes removes without asking"
            )
        for folder in folders:
            say(str(folder))
        typer.confirm(f"Remove {len(folders)} folders with all their files?", abort=True, err=True)
    for folder in folders:
        # Moved aside first, so that nobody ever lists half of it.
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.removed")
        os.replace(folder, aside)
        shutil.rmtree(aside)  # links in it are removed, not followed
        say(f"removed {folder}")


def check_removable(folder: Path) -> None:
    """Raise UsageError unless ``folder`` is a run's or a sweep's, really lies under the outputs folder.

    A link is not followed: what it leads to is somebody else's.
    """
    from caviar.runs.folder import TRIALS, outputs_root

    root = outputs_root().resolve()
    real = folder.resolve()
    parts = real.relative_to(root).parts if real.is_relative_to(root) else ()
    whole = len(parts) == 2 and parts[0] in ("runs", "sweeps")
    trial = len(parts) == 4 and parts[0] == "sweeps" and parts[2] == TRIALS
    if folder.is_symlink() or not (whole or trial):
        raise UsageError(f"{folder}: not a run or a sweep under {root}; it is left alone")
