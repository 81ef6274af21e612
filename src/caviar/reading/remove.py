"""Removing a run or a sweep: under the outputs folder alone, and never one that is under way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from caviar.base.errors import UsageError
from caviar.reading.find import TRIALS, outputs_root


def check_removable(folder: Path) -> None:
    """Raise UsageError unless ``folder`` is a run's or a sweep's, really lies under the outputs folder.

    A link is not followed: what it leads to is somebody else's.
    """
    root = outputs_root().resolve()
    real = folder.resolve()
    parts = real.relative_to(root).parts if real.is_relative_to(root) else ()
    whole = len(parts) == 2 and parts[0] in ("runs", "sweeps")
    trial = len(parts) == 4 and parts[0] == "sweeps" and parts[2] == TRIALS
    if folder.is_symlink() or not (whole or trial):
        raise UsageError(f"{folder}: not a run or a sweep under {root}; it is left alone")


def remove(folder: Path) -> None:
    """Remove ``folder`` with all that is in it; links in it are removed, not followed.

    Moved aside first, so that nobody ever lists half of it.
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.removed")
    os.replace(folder, aside)
    shutil.rmtree(aside)
