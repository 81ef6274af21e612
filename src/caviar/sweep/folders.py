"""The run folders of a sweep, as its controller sees them: where they are, and how their runs ended."""

from __future__ import annotations

from pathlib import Path

from caviar.errors import UsageError
from caviar.runs.folder import CHECKPOINTS, LOG, Result, was_stopped
from caviar.trials import Failed, Finished, Pruned


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
            folder.mkdir(parents=True, exist_ok=True)
            result = self._read(folder) or Result(state="RUNNING", number=event.number)
            if result.state != "RUNNING":
                return
            result.state, result.error, result.seconds = "FAIL", event.error, event.seconds
            result.write(folder)
            with (folder / LOG).open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(f"{event.error}\n")
        except OSError:
            return  # the disk has no room: the study knows that it failed

    def _read(self, folder: Path) -> Result | None:
        try:
            return Result.read(folder)
        except UsageError:
            return None  # its worker was lost before it wrote a word
