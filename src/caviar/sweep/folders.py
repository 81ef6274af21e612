"""The run folders of a sweep, as its controller sees them: where they are, and what is left in them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from caviar.base.messages import Failed, Finished, Pruned
from caviar.runs.folder import CHECKPOINTS, LANE
from caviar.runs.life import end_of, give_up
from caviar.sweep.tries import Try

_LANES = (f"{CHECKPOINTS}/{LANE}", f"*/{CHECKPOINTS}/{LANE}")
"""The state of a lane, in a run folder or a fold's."""


class TrialFolders:
    """The folder ``trials`` of a sweep."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, number: int) -> Path:
        """The run folder of a trial."""
        return self._root / f"{number:04}"

    def checkpoints(self, number: int) -> Path | None:
        """A trial's folder of checkpoints, if it or one of its folds left any."""
        run = self.path(number)
        left = any(run.glob(f"{CHECKPOINTS}/*")) or any(run.glob(f"*/{CHECKPOINTS}/*"))
        return run / CHECKPOINTS if left else None

    def ended(self, number: int) -> Finished | Pruned | Failed | None:
        """How a trial ended, by what its worker wrote; None where it was cut short or stopped."""
        return end_of(self.path(number), number)

    def give_up(self, event: Failed) -> None:
        """Write the end of a trial whose worker could not do so itself."""
        give_up(self.path(event.number), event)

    def tidy_after(self, this: Try, over: bool, failed: bool = False) -> None:
        """Remove what tries left to go on from, once this one is over or has left a lane of its own."""
        own, tries = self.path(this.asked.number), [*map(self.path, this.asked.retry_of)]
        if over and (this.begun or tries or failed):
            tries.append(own)
        elif not (tries and any(any(own.glob(files)) for files in _LANES)):
            return
        for run in tries:
            for file in [file for files in (*_LANES, "**/.*.partial") for file in run.glob(files)]:
                with suppress(OSError):
                    file.unlink()
