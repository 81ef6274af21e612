"""A sweep while it runs, on a terminal: one panel that is drawn anew."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from time import monotonic

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from caviar.base.messages import Event, Failed, Finished, Gone, Pruned, Ready, Started, Starting
from caviar.base.plain import printable
from caviar.base.words import duration, short
from caviar.reports.tally import Lane, Tally
from caviar.sweep.asking import Asked

DRAW_SECONDS = 0.1
LAST_EVENTS = 4
GAP = 2
"""Between two columns."""
LEAST_NAME = 5
LEAST_TRIES = 16
"""Characters below which what a trial tries is not shown: it would be cut to nothing."""


class LivePanel:
    """Draws the panel, at most ten times a second, whatever the number of events.

    Failures are written above it, where they stay; the panel itself goes when the sweep ends.

    Args:
        folder: the sweep's.
        tally: counts; not yet told of anything that this sees.
        console: where to; None for stdout.
    """

    def __init__(self, folder: Path, tally: Tally, console: Console | None = None) -> None:
        self._folder = folder
        self._tally = tally
        self._events: deque[Text] = deque(maxlen=LAST_EVENTS)
        self._idle: dict[str, str] = {}  # what a worker without a trial does
        self._console = console or Console(highlight=False)
        # Output of the app itself goes above the panel, as rich's consoles see to.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        # rich hides the cursor; after a kill -9 nobody would be left to show it again.
        self._console.show_cursor(True)
        self._drawn = 0.0

    def asked(self, asked: Asked) -> None:
        """Keep what the trial tries."""
        self._tally.asked(asked)

    def happened(self, event: Event) -> None:
        """Take in an event; nothing is drawn before the next tick."""
        self._tally.happened(event)
        metric = self._tally.labels[0]
        if isinstance(event, Starting):
            self._idle[event.worker] = "starting"
        elif isinstance(event, Ready | Started):
            self._idle[event.worker] = "idle"
        elif isinstance(event, Gone):
            self._idle.pop(event.worker, None)
        elif isinstance(event, Finished):
            scores = self._tally.scores(event.values)
            self._note(f"trial {event.number} complete: {scores}", "green")
        elif isinstance(event, Pruned):
            value = "nothing" if event.value is None else short(event.value)
            self._note(f"trial {event.number} pruned at {metric}={value}", "yellow")
        elif isinstance(event, Failed):
            log = self._folder / "trials" / f"{event.number:04}" / "log.txt"
            text = printable(f"trial {event.number} FAILED: {event.error}")
            self._console.print(Text(text, "bold red"), Text(f"  see {log}", "red"), sep="\n")

    def again(self, number: int, text: str) -> None:
        """A trial is to be tried again."""
        self._tally.forget(number)
        self._note(f"trial {number} again: {text}", "yellow")

    def stopped(self, number: int, text: str) -> None:
        """A trial was cut short, and will be gone on with by a resume."""
        self._tally.forget(number)
        self._note(f"trial {number} stopped: {text}", "yellow")

    def say(self, text: str) -> None:
        """Write a line of the sweep's own above the panel."""
        self._console.print(Text(printable(text)))

    def tick(self) -> None:
        """Draw, unless that was done a moment ago; called often."""
        if monotonic() - self._drawn >= DRAW_SECONDS:
            self._drawn = monotonic()
            self._live.update(self._panel(), refresh=True)

    def close(self) -> None:
        """Take the panel away and give the terminal back as it was."""
        self._live.stop()

    def _note(self, text: str, style: str) -> None:
        self._events.append(Text(printable(text), style, overflow="ellipsis", no_wrap=True))

    def _panel(self) -> Panel:
        tally = self._tally
        counts = Text.assemble(
            (f"{tally.complete} complete", "green"),
            ", ",
            (f"{tally.pruned} pruned", "yellow"),
            ", ",
            (f"{tally.failed} failed", "bold red" if tally.failed else ""),
            f", {len(tally.lanes)} running of {tally.n_trials}",
        )
        left = tally.seconds_left
        ahead = [tally.best_in_words(), f"{duration(left)} left" if left is not None else ""]
        bar = Table.grid(expand=True)  # by itself it ends no line
        bar.add_row(ProgressBar(total=max(tally.n_trials, 1), completed=tally.ended))
        outlook = ", ".join(filter(None, ahead))
        tries = Text(f"  {tally.best_tries}", "dim", overflow="ellipsis", no_wrap=True)
        best = [Text(outlook), *([tries] if tally.best_tries else [])] if outlook else []
        return Panel(
            Group(bar, counts, *best, self._lanes(), *self._events),
            title=Text(f"sweep {self._folder.name}"),
            title_align="left",
        )

    def _lanes(self) -> Group:
        """A row a worker, or one a trial where it has several; as many as the screen has room for."""
        # Beside the rows: two borders, the bar, three lines of counts, a heading, the last events.
        room = max(self._console.height - 9 - LAST_EVENTS, 2)
        rows = self._rows()
        shown = rows if len(rows) <= room else rows[: room - 1]
        metric, space = self._tally.labels[0], self._console.width - 4
        cells = [self._cells(worker, number, lane) for worker, number, lane in shown]
        heads = ["worker", "trial", "epoch", metric, "heard"]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        over = sum(widths) + GAP * len(widths) - space
        if over > 0:  # the name of the score is cut first
            scores = [len(line[3]) for line in cells]
            widths[3] = max(len(metric) - over, LEAST_NAME, *scores)
            heads[3] = metric if widths[3] >= len(metric) else f"…{metric[1 - widths[3] :]}"
        table = Table.grid(padding=(0, GAP, 0, 0))
        for side, width in zip(("left", *["right"] * 4), widths, strict=True):
            table.add_column(justify=side, no_wrap=True, min_width=width)  # type: ignore[arg-type]
        rest = space - sum(widths) - GAP * (len(widths) + 1)
        wide = rest >= LEAST_TRIES
        if wide:
            table.add_column(no_wrap=True, overflow="ellipsis", width=rest)
        table.add_row(*(Text(head, "dim") for head in (*heads, *(["tries"] if wide else []))))
        for (_, _, lane), line in zip(shown, cells, strict=True):
            tries = [Text(lane.tries if lane else "", overflow="ellipsis")] if wide else []
            table.add_row(*(Text(cell, "" if lane else "dim") for cell in line), *tries)
        if len(shown) == len(rows):
            return Group(table)
        return Group(table, Text(f"and {len(rows) - len(shown)} more", "dim"))

    def _cells(self, worker: str, number: int, lane: Lane | None) -> list[str]:
        """Worker, trial, epoch, score, and for how long nothing was heard."""
        if lane is None:
            return [worker, self._idle[worker], "", "", ""]
        epoch = "" if lane.step is None else str(lane.step)
        score = "" if lane.value is None else short(lane.value)
        return [worker, str(number), epoch, score, duration(monotonic() - lane.heard)]

    def _rows(self) -> list[tuple[str, int, Lane | None]]:
        """Worker, trial and lane of each row; a worker without a trial has one too."""
        by_worker: dict[str, list[tuple[str, int, Lane | None]]] = {w: [] for w in self._idle}
        for number, lane in self._tally.lanes.items():
            by_worker[lane.worker].append((lane.worker, number, lane))
        return [row for w, rows in by_worker.items() for row in rows or [(w, -1, None)]]
