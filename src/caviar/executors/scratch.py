"""An agent's own folder: its workers' log and, without a shared disk, the run folders of its trials."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

from caviar.base.messages import Job
from caviar.executors.mirror import Mirror, Outbox, Piece, write
from caviar.runs import locks

_NAMED = "caviar-agent-"
_ALIVE = "alive"
"""A file that the agent has locked for as long as it lives."""
_LOOK_SECONDS = 2.0
"""Between two looks at what running trials have written."""
_CHECKPOINT_SECONDS = 10.0
"""The same of checkpoints."""


class Scratch:
    """The folder, which is made among the temporary files; those of agents that were killed are removed."""

    def __init__(self) -> None:
        _remove_left()
        # Under another name until it is locked: an agent that starts now would remove it.
        made = Path(tempfile.mkdtemp(prefix="caviar-making-"))
        self._alive = locks.hold(made / _ALIVE)
        self.path = made.rename(made.with_name(made.name.replace("caviar-making-", _NAMED)))
        self.log = self.path / "workers.txt"
        self._told = 0
        self._mirrors: dict[int, Mirror] = {}
        self._looked = self._saved = monotonic()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._alive is not None:
            self._alive.close()

    def __contains__(self, number: int) -> bool:
        return number in self._mirrors

    def take(self, job: Job) -> Job:
        """A job as it is run here; what is in its run folder has come from the controller."""
        folder = self._folder(job.number)
        self._mirrors[job.number] = mirror = Mirror(job.number, folder)
        mirror.note()
        earlier = job.resume_from and str(self._folder(_number(job.resume_from)) / "checkpoints")
        return replace(job, folder=str(folder), resume_from=earlier)

    def write(self, piece: Piece) -> None:
        """Write a piece of a run folder that came from the controller; without it a trial begins afresh."""
        with suppress(OSError):
            write(self._folder(piece.number), piece)

    def look(self, outbox: Outbox) -> bool:
        """Send what has changed in the folders of running trials; False where it is too early for that."""
        now = monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        checkpoints = now - self._saved >= _CHECKPOINT_SECONDS
        if checkpoints:
            self._saved = now
        for number, mirror in self._mirrors.items():
            if number not in outbox:
                outbox.put(number, mirror.changes(checkpoints))
        return True

    def last(self, job: Job) -> Iterator[Piece]:
        """What is still to be sent of a trial that has ended; then nothing of it is left here."""
        return self._last(job, self._mirrors.pop(job.number))

    def _last(self, job: Job, mirror: Mirror) -> Iterator[Piece]:
        yield from mirror.changes()
        for number in {job.number, _number(job.resume_from) if job.resume_from else job.number}:
            if number not in self._mirrors:
                shutil.rmtree(self._folder(number), ignore_errors=True)

    def output(self) -> str:
        """What the workers have written into their log since the last call, or the first part of it."""
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(self._told)
            text = log.read(1 << 20)
            self._told += len(text)
            return text.decode(errors="backslashreplace")
        return ""

    def _folder(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04}"


def _number(resume_from: str) -> int:
    """The number of the trial whose checkpoints they are."""
    return int(Path(resume_from).parent.name)


def _remove_left() -> None:
    """Remove the folders of this user's agents that were killed and could not do it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_NAMED}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and locks.is_held(folder / _ALIVE) is False:
                shutil.rmtree(folder, ignore_errors=True)
