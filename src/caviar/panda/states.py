"""The states of a watched run that a rollback may return to: ``RUN/panda/before/NNNN``."""

from __future__ import annotations

import os
from pathlib import Path

from caviar.panda.files import FOLDER
from caviar.runs.folder import CHECKPOINTS, METRICS
from caviar.runs.inside import copy_inside, remove_inside

STATE = "state.ckpt"


class States:
    """Whole states, each under the number of the edit that it was saved before.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._before = run / FOLDER / "before"

    def path(self, edit: int) -> Path:
        """The checkpoint from before ``edit``, which need not be there."""
        return self._before / f"{edit:04}" / STATE

    def has(self, edit: int) -> bool:
        """Whether there is a state to go back to."""
        return self.path(edit).exists()

    def keep_files(self, edit: int) -> None:
        """Keep the run's checkpoints and metrics with the state."""
        place = self.path(edit).parent
        # The best checkpoint may be of a part that a rollback undoes. A checkpoint is replaced, not
        # written into, so a second name for it costs nothing.
        for file in (self._run / CHECKPOINTS).glob("*.ckpt"):
            copy = place / file.name
            remove_inside(copy)
            try:
                os.link(file, copy, follow_symlinks=False)
            except OSError:
                copy_inside(file, copy)
        if (self._run / METRICS).exists():
            copy_inside(self._run / METRICS, place / METRICS)

    def put_back_files(self, state: Path) -> None:
        """Make the run's checkpoints those that were kept with ``state``."""
        for file in (self._run / CHECKPOINTS).glob("*.ckpt"):
            remove_inside(file)
        for file in state.parent.glob("*.ckpt"):
            if file != state:
                copy_inside(file, self._run / CHECKPOINTS / file.name)
