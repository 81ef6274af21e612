"""A sweep while it runs, in a log file or a pipe: improvements, every 5 %, failures with their cause."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from optuna.trial import FrozenTrial

from caviar.base.messages import Event, Failed, Finished, Pruned
from caviar.base.plain import printable
from caviar.base.words import duration, short
from caviar.reports.tally import Tally
from caviar.runs.places import typed
from caviar.sweep.asking import Asked
from caviar.sweep.settings import Settings

if TYPE_CHECKING:
    from caviar.reports.live import LivePanel

TRACEBACK_LINES = 20
SUMMARY_SECONDS = 60.0
MARKS = 20
"""So often a sweep says how far it is: each 5 % of its trials."""


class Lines:
    """Writes plain lines, without any control character, so that a log file reads well too.

    Args:
        folder: the sweep's.
        tally: counts; not yet told of anything that this sees.
        lanes: how many trials run at once; 0 where nobody knows yet.
        out: where to; None for stdout.
    """

    def __init__(self, folder: Path, tally: Tally, lanes: int, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._folder = folder
        self._tally = tally
        self._summed_up = monotonic()
        self._seen: set[int] = set()  # hashes of tracebacks: thousands may fail alike
        where = f" on {lanes} lanes" if lanes else ""  # those of other machines are yet to come
        self.say(f"sweep {folder.name}: {tally.n_trials} trials{where}, in {typed(folder)}")
        if tally.earlier:
            self.say(f"of them ended before: {tally.earlier}")

    def asked(self, asked: Asked) -> None:
        """Keep what the trial's line will need."""
        self._tally.asked(asked)

    def happened(self, event: Event) -> None:
        """Write a line where a trial failed or is better than any before, and at each 5 %."""
        tries = self._tally.tries(event.number) if isinstance(event, Finished) else ""
        before = self._tally.ended
        improved = self._tally.happened(event)
        total = max(self._tally.n_trials, 1)
        told = improved or MARKS * self._tally.ended // total > MARKS * before // total
        count = f"[{self._tally.ended}/{self._tally.n_trials}]"
        metric = self._tally.labels[0]
        if isinstance(event, Finished) and told:
            scores = self._tally.scores(event.values)
            best = self._tally.best_in_words()
            took = f"in {event.seconds:.1f} s, {best}{self._left()}"
            self.say(f"{count} trial {event.number} {scores} {took}  {tries}")
        elif isinstance(event, Pruned) and told:
            value = "nothing" if event.value is None else short(event.value)
            self.say(f"{count} trial {event.number} pruned at {metric}={value}{self._left()}")
        elif isinstance(event, Failed):
            log = self._folder / "trials" / f"{event.number:04}" / "log.txt"
            self.say(f"{count} trial {event.number} FAILED: {event.error}  ({log})")
            if hash(event.traceback) in self._seen:
                return  # it stands above
            self._seen.add(hash(event.traceback))
            for line in event.traceback.splitlines()[-TRACEBACK_LINES:]:
                self.say(f"    {line}")

    def _left(self) -> str:
        left, over = self._tally.seconds_left, self._tally.ended >= self._tally.n_trials
        return "" if over or not left else f", {duration(left)} left"

    def again(self, number: int, text: str) -> None:
        """A trial is to be tried again."""
        self._tally.forget(number)
        self.say(f"trial {number} again: {text}")

    def stopped(self, number: int, text: str) -> None:
        """A trial was cut short, and will be gone on with by a resume."""
        self._tally.forget(number)
        self.say(f"trial {number} stopped: {text}")

    def say(self, text: str) -> None:
        """Write a line of the sweep's own."""
        print(printable(text).rstrip(), file=self._out, flush=True)

    def tick(self) -> None:
        """Sum up once a minute; called often."""
        if monotonic() - self._summed_up >= SUMMARY_SECONDS:
            self._summed_up = monotonic()
            self.say(f"{self._tally.in_words()}; {self._tally.best_in_words()}".rstrip("; "))

    def close(self) -> None:
        """Nothing to put back."""


def make_view(
    folder: Path, settings: Settings, n_trials: int, lanes: int, earlier: Iterable[FrozenTrial]
) -> LivePanel | Lines:
    """Make the view for where stdout leads.

    Args:
        folder: the sweep's.
        settings: for the metric's name and the directions.
        n_trials: how many trials there will be in total.
        lanes: how many run at once.
        earlier: the trials of the session that this one resumes.
    """
    tally = Tally(n_trials, settings.directions, settings.labels)
    tally.take_up(earlier)
    # A dumb terminal, such as an editor's, cannot move its cursor.
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from caviar.reports.live import LivePanel

        return LivePanel(folder, tally)
    return Lines(folder, tally, lanes)
