"""Going on with a trial that an earlier try began: its last checkpoint, and the rows it logged."""

import logging
from pathlib import Path

from caviar.base.errors import UsageError
from caviar.lightning.callbacks.checkpoint import LAST
from caviar.runs.active import resume_from
from caviar.runs.checkpoints import read_checkpoint
from caviar.runs.folder import CHECKPOINTS, METRICS
from caviar.runs.inside import copy_folder, copy_inside

log = logging.getLogger(__name__)

_NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch")
"""What Lightning goes on from."""


def checkpoint_to_resume(folder: Path) -> Path | None:
    """The checkpoint that a training in ``folder`` goes on from, or None where it begins (afresh).

    It begins afresh where the checkpoint is damaged, and says so in its log.

    What an earlier try left in a folder of its own is copied to this one first, so that the best
    checkpoint and the curve are whole here.
    """
    earlier = resume_from()
    if earlier is None or not (earlier / LAST).is_file():
        return None
    try:
        read_checkpoint(earlier / LAST, _NEEDED)
    except (UsageError, OSError) as error:
        log.warning("begins afresh: %s", error)
        return None
    here = folder / CHECKPOINTS
    if earlier != here:
        copy_folder(earlier, here)
        if (earlier.parent / METRICS).is_file():
            copy_inside(earlier.parent / METRICS, folder / METRICS)
    return here / LAST
