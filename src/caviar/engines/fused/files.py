"""The run folders of fused trials, written by a thread of their own while the lanes train on."""

from __future__ import annotations

import csv
import io
import queue
import shutil
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caviar.runs import folder as names
from caviar.runs.config import to_yaml
from caviar.runs.files import write_atomic
from caviar.runs.folder import Result

BEST = f"{names.CHECKPOINTS}/best.ckpt"
LANE = "lane.ckpt"
"""What an interrupted trial leaves among its checkpoints, to go on from on another lane."""


class Writer:
    """Does one thing after the other, off the training thread.

    What fails is kept for `check`, unless the thing itself deals with it.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="caviar-files")
        self._thread.start()

    def do(self, thing: Callable[[], None]) -> None:
        """Have it done soon."""
        self._queue.put(thing)

    def check(self) -> None:
        """Raise what went wrong since the last look."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Wait until all is written."""
        self._queue.put(None)
        self._thread.join()
        self.check()

    def _work(self) -> None:
        while (thing := self._queue.get()) is not None:
            try:
                thing()
            except BaseException as error:
                traceback.print_exc()
                self._error = error


@dataclass
class RunFolder:
    """One trial's folder.

    Attributes:
        path: the folder, made by `begin`.
        result: what ``result.json`` is to say.
        config: the text of ``config.yaml``.
        files: what else goes in, name -> text.
        error: what first kept it from being written.
    """

    path: Path
    result: Result
    config: str = ""
    overrides: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    error: OSError | None = None

    def begin(self) -> None:
        """Make the folder, and write what is known before training."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.result.write(self.path)
            write_atomic(self.path / names.CONFIG, self.config)
            write_atomic(self.path / names.OVERRIDES, to_yaml(list(self.overrides)))
            for name, text in self.files.items():
                write_atomic(self.path / name, text)
        except OSError as error:
            self.error = self.error or error

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``metrics.csv`` anew."""
        try:
            write_atomic(self.path / names.METRICS, to_csv(rows))
        except OSError as error:
            self.error = self.error or error

    def log(self, message: str) -> None:
        """Add a line to ``log.txt``, with the time, or what is longer as it stands."""
        try:
            with (self.path / names.LOG).open("a") as file:
                file.write(message)
        except OSError as error:
            self.error = self.error or error

    def best(self, checkpoint: Mapping[str, Any]) -> None:
        """Write ``best.ckpt``."""
        self.checkpoint(Path(BEST).name, checkpoint)

    def checkpoint(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file among the checkpoints."""
        try:
            folder = self.path / names.CHECKPOINTS
            folder.mkdir(exist_ok=True)
            data = io.BytesIO()
            torch.save(dict(content), data)
            write_atomic(folder / name, data.getvalue())
        except OSError as error:
            self.error = self.error or error

    def drop_best(self) -> None:
        """Remove ``best.ckpt``, and say so in ``result.json``."""
        (self.path / BEST).unlink(missing_ok=True)
        self.result.checkpoint = None
        self.result.write(self.path)

    def end(self) -> None:
        """Write the result.

        Raises:
            OSError: something of the folder could not be written.
        """
        if self.error is not None:
            raise self.error
        if self.result.state != "FAIL":
            (self.path / names.CHECKPOINTS / LANE).unlink(missing_ok=True)
        self.result.write(self.path)

    def discard(self) -> None:
        """Remove what `begin` wrote: another engine takes the trial."""
        shutil.rmtree(self.path, ignore_errors=True)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Lightning's CSV logger has them: columns in the order in which they first came up."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def log_line(name: str, message: str) -> str:
    """A line as a worker's logging writes it."""
    time = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    return f"[{time}][{name}][INFO] {message}\n"


@cache
def _lightning() -> str:
    return version("lightning")  # reads the package's metadata: a millisecond


def lightning_checkpoint(
    weights: Mapping[str, Tensor],
    prefix: str,
    hyper_parameters: Mapping[str, Any],
    epoch: int,
    step: int,
) -> dict[str, Any]:
    """What Lightning's ``load_from_checkpoint`` reads, without what only a Trainer would."""
    return {
        "epoch": epoch,
        "global_step": step,
        "pytorch-lightning_version": _lightning(),
        "state_dict": {f"{prefix}{name}": tensor for name, tensor in weights.items()},
        "loops": {},
        "hparams_name": "kwargs",
        "hyper_parameters": dict(hyper_parameters),
    }


class BestFew:
    """Sees to it that only the best trials of a worker keep their checkpoints.

    Args:
        most: how many; None for all.
        direction: what is better.
    """

    def __init__(self, most: int | None, direction: str) -> None:
        self._most = most
        self._sign = 1 if direction == "maximize" else -1
        self._kept: list[tuple[float, RunFolder]] = []

    def wants(self, score: float) -> bool:
        """Whether a trial of this score is among the best so far."""
        if self._most is None or len(self._kept) < self._most:
            return self._most != 0
        return self._sign * score > self._kept[-1][0]

    def add(self, score: float, folder: RunFolder) -> None:
        """Note that it has kept its checkpoint; one that is no more among the best loses its own."""
        if self._most is None:
            return
        self._kept.append((self._sign * score, folder))
        self._kept.sort(key=lambda pair: -pair[0])
        for _, worst in self._kept[self._most :]:
            worst.drop_best()
        del self._kept[self._most :]
