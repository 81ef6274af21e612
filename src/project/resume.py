"""Going on with a trial that an earlier try began: its last checkpoint, and the rows it logged."""

import shutil
from pathlib import Path

import caviar
from caviar.runs.folder import CHECKPOINTS, METRICS
from project.callbacks.checkpoint import LAST


def checkpoint_to_resume(folder: Path) -> Path | None:
    """The checkpoint that a training in ``folder`` goes on from, or None where it begins.

    What an earlier try left in a folder of its own is copied to this one first, so that the best
    checkpoint and the curve are whole here.
    """
    earlier = caviar.resume_from()
    if earlier is None or not (earlier / LAST).is_file():
        return None
    here = folder / CHECKPOINTS
    if earlier != here:
        shutil.copytree(earlier, here, dirs_exist_ok=True)
        if (earlier.parent / METRICS).is_file():
            shutil.copy(earlier.parent / METRICS, folder / METRICS)
    return here / LAST
