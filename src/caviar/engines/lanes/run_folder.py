"""The run folder of a fused trial."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

import torch

from caviar.base.errors import UsageError
from caviar.engines.experiment import Logged
from caviar.runs import folder as names
from caviar.runs.checkpoints import read_checkpoint
from caviar.runs.files import write_atomic
from caviar.runs.folder import Result
from caviar.runs.inside import make_folders, open_inside, remove_inside
from caviar.runs.life import Life
from caviar.runs.text import csv_text, yaml_text

log = logging.getLogger(__name__)

BEST_CHECKPOINT = names.BEST_CHECKPOINT
LANE = names.LANE


@dataclass
class RunFolder:
    """One trial's folder.

    A trial that ends before `begin` was called never has a word of it on the disk while it runs;
    all its files are there before its end is told.

    Attributes:
        life: the trial's, from RUNNING to its end.
        config: the text of ``config.yaml``.
        log_all: gives the trial's loggers all that it has logged, where it has some, when it ends.
        files: what else goes in, name -> text.
        error: what first kept it from being written.
        notes: lines that ``log.txt`` begins with.
    """

    life: Life
    config: str = ""
    log_all: Callable[[Logged], None] | None = None
    overrides: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None
    notes: str = ""
    _made: bool = False
    _given_away: bool = False
    _writing: RLock = field(default_factory=RLock)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.life.folder

    @property
    def number(self) -> int:
        """The trial's."""
        return self.life.number

    def give_away(self) -> None:
        """Leave the folder to who trains the trial now: what is still to be written here never is."""
        with self._writing:
            self._given_away = True

    def begin(self) -> None:
        """Make the folder, and write what is known before training; nothing where that is done."""
        with self._writing:
            if self._made or self._given_away:
                return
            with self._noting():
                self._make()
                self.life.result.write(self.path)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``metrics.csv`` anew, while the trial runs."""
        with self._writing:
            self.begin()
            if not self._given_away:
                self._rows(rows, durable=False)

    def checkpoint(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file among the checkpoints."""
        with self._writing:
            self.begin()
            if self._given_away:
                return
            with self._noting():
                folder = self.path / names.CHECKPOINTS
                make_folders(folder)
                data = io.BytesIO()
                torch.save(dict(content), data)
                write_atomic(folder / name, data.getvalue())

    def end(
        self,
        result: Result,
        rows: Sequence[Mapping[str, Any]] = (),
        log: str = "",
        best: Mapping[str, Any] | None = None,
    ) -> None:
        """Write all that is still to be written, ``result.json`` last.

        Args:
            result: what ``result.json`` is to say from now on.
            rows: of ``metrics.csv``, as they are in the end.
            log: what ``log.txt`` is to say beside what it says.
            best: the best checkpoint.

        Raises:
            Exception: something of the folder could not be written.
        """
        if not self._made:
            self._make()
        if rows:
            self._rows(rows)
        if best is not None:
            self.checkpoint(Path(BEST_CHECKPOINT).name, best)
        if self.notes or log:
            with open_inside(self.path / names.LOG, "a") as file:
                file.write(self.notes + log)
            self.notes = ""
        if self.error is not None:
            raise self.error
        self.life.result = result
        if result.state != "FAIL":
            remove_inside(self.path / names.CHECKPOINTS / LANE)
        result.write(self.path)

    def note(self, level: int, message: str) -> None:
        """Have a line in ``log.txt``, as a worker's logging writes it."""
        log.log(level, "%s: %s", self.path.name, message)
        self.notes += log_line(__name__, message, level)

    def drop_best(self) -> None:
        """Say in ``result.json`` that there is no ``best.ckpt``, and remove it."""
        self.life.result.checkpoint = None
        with suppress(OSError):  # where that cannot be written, what it says stays true
            self.life.result.write(self.path)
            remove_inside(self.path / BEST_CHECKPOINT)

    def _make(self) -> None:
        self._made = True
        make_folders(self.path)
        for name, text in self._texts().items():
            write_atomic(self.path / name, text)

    def _texts(self) -> Mapping[str, str]:
        overrides = yaml_text(list(self.overrides))
        return {names.CONFIG: self.config, names.OVERRIDES: overrides, **self.files}

    def _rows(self, rows: Sequence[Mapping[str, Any]], durable: bool = True) -> None:
        with self._noting():
            write_atomic(self.path / names.METRICS, csv_text(rows), durable)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note the first thing that keeps the folder from being written."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error


def read_lane(path: Path | None, folder: RunFolder) -> dict[str, Any] | None:
    """What an earlier try of a trial left, where it was on a lane; None where that cannot be read.

    Args:
        path: its file, if there was an earlier try.
        folder: the trial's, whose log says so then.
    """
    if path is None or not path.is_file():
        return None
    try:
        return read_checkpoint(path, ("training", "tensors"))
    except (UsageError, OSError) as error:
        folder.note(logging.WARNING, f"begins afresh: {error}")
        return None


def log_line(name: str, message: str, level: int = logging.INFO) -> str:
    """A line as a worker's logging writes it."""
    time = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    return f"[{time}][{name}][{logging.getLevelName(level)}] {message}\n"
