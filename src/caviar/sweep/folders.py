"""The run folders of a sweep, as its controller sees them: where they are, and how their runs ended."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from caviar.base.errors import UsageError
from caviar.base.messages import Failed, Finished, Pruned
from caviar.runs.folder import CHECKPOINTS, LANE, LOG, Result, was_stopped
from caviar.runs.inside import make_folders, open_inside


class TrialFolders:
    """The folder ``trials`` of a sweep.

    Args:
        root: that folder.
    """

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
        """How a trial ended, by what its worker wrote; None where it was cut short or stopped.

        A worker writes the result and then tells its controller: either may be killed in between,
        and the trial is done all the same.
        """
        try:
            result = Result.read(self.path(number))
        except (UsageError, OSError):
            return None
        seconds = result.seconds or 0.0
        if result.state == "COMPLETE" and result.value is not None:
            values = result.value if isinstance(result.value, list) else [result.value]
            return Finished(number, [float(value) for value in values], seconds, result.facts)
        if result.state == "PRUNED":
            value = result.value if isinstance(result.value, float) else None
            return Pruned(number, value, seconds, result.facts)
        if result.state == "FAIL" and not was_stopped(result.error):
            return Failed(number, result.error or "", seconds=seconds)
        return None

    def give_up(self, event: Failed) -> None:
        """Write the end of a run that could not do so itself."""
        folder = self.path(event.number)
        try:
            make_folders(folder)
            result = self._read(folder) or Result(state="RUNNING", number=event.number)
            stopped = was_stopped(result.error) and not was_stopped(event.error)
            if result.state != "RUNNING" and not stopped:
                return
            result.state, result.error, result.seconds = "FAIL", event.error, event.seconds
            result.write(folder)
            with open_inside(folder / LOG, "a") as log:
                log.write(event.traceback or f"{event.error}\n")
        except OSError:
            return  # the disk has no room: the study knows that it failed

    def tidy(self, numbers: Iterable[int]) -> None:
        """Remove what is of no more use in the folders of trials that nobody goes on from any more.

        That is the state of a lane, and what a process was writing when it was killed.
        """
        for number in numbers:
            run = self.path(number)
            left = (f"{CHECKPOINTS}/{LANE}", f"*/{CHECKPOINTS}/{LANE}", "**/.*.partial")
            for file in [file for files in left for file in run.glob(files)]:
                with suppress(OSError):
                    file.unlink()

    def left_lane(self, number: int) -> bool:
        """Whether a trial left the state of a lane."""
        run = self.path(number)
        left = (f"{CHECKPOINTS}/{LANE}", f"*/{CHECKPOINTS}/{LANE}")
        return any(any(run.glob(files)) for files in left)

    def _read(self, folder: Path) -> Result | None:
        try:
            return Result.read(folder)
        except UsageError:
            return None  # its worker was lost before it wrote a word
