"""A sweep while it runs, off a terminal or on one: a line a finished trial, failures with their cause."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic
from typing import TextIO

from caviar.sweep.settings import Settings
from caviar.sweep.study import Asked
from caviar.trials import Event, Failed, Finished, Pruned

TRACEBACK_LINES = 20


class Lines:
    """Writes plain lines, without any control character, so that a log file reads well too.

    Args:
        folder: the sweep's.
        n_trials: how many trials there will be.
        lanes: how many run at once.
        settings: for the metric's name and the directions.
        out: where to; None for stdout.
    """

    def __init__(
        self,
        folder: Path,
        n_trials: int,
        lanes: int,
        settings: Settings,
        out: TextIO | None = None,
    ) -> None:
        self._out = out or sys.stdout
        self._folder = folder
        self._n_trials = n_trials
        self._sign = -1 if settings.directions == ["maximize"] else 1
        self._metric = settings.metric or "value"
        self._values: dict[int, str] = {}
        self._best: tuple[float, int] | None = None
        self._done = 0
        self._began = monotonic()
        self._write(f"sweep {folder.name}: {n_trials} trials on {lanes} lanes, in {folder}")

    def asked(self, asked: Asked) -> None:
        """Keep what the trial's line will need."""
        self._values[asked.number] = " ".join(
            f"{name.rpartition('.')[2]}={short(value)}" for name, value in asked.values.items()
        )

    def happened(self, event: Event) -> None:
        """Write a line where a trial ended."""
        if isinstance(event, Finished):
            self._finished(event)
        elif isinstance(event, Pruned):
            self._done += 1
            value = "nothing" if event.value is None else short(event.value)
            self._write(f"{self._count()} trial {event.number} pruned at {self._metric}={value}")
        elif isinstance(event, Failed):
            self._failed(event)

    def say(self, text: str) -> None:
        """Write a line of the sweep's own."""
        self._write(text)

    def _finished(self, event: Finished) -> None:
        self._done += 1
        score = event.values[0]
        if self._best is None or self._sign * score < self._sign * self._best[0]:
            self._best = (score, event.number)
        scores = ", ".join(short(value) for value in event.values)
        best = (
            f"best {short(self._best[0])} (trial {self._best[1]})" if len(event.values) == 1 else ""
        )
        self._write(
            f"{self._count()} trial {event.number} {self._metric}={scores} in {event.seconds:.1f} s, "
            f"{best}  {self._values.pop(event.number, '')}"
        )

    def _failed(self, event: Failed) -> None:
        self._done += 1
        log = self._folder / "trials" / f"{event.number:04}" / "log.txt"
        self._write(f"{self._count()} trial {event.number} FAILED: {event.error}  ({log})")
        for line in event.traceback.splitlines()[-TRACEBACK_LINES:]:
            self._write(f"    {line}")

    def _count(self) -> str:
        return f"[{self._done}/{self._n_trials}]"

    def _write(self, line: str) -> None:
        print(line.rstrip(), file=self._out, flush=True)


def short(value: object) -> str:
    """A value for reading: four significant digits of a float, everything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
