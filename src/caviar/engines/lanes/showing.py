"""What a trial on a lane leaves while it runs: a folder to look at, its rows, a lane to go on from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from caviar.base.messages import Started
from caviar.engines.base import Send
from caviar.engines.lanes.groups import Group, Run
from caviar.engines.lanes.run_folder import LANE
from caviar.engines.lanes.writer import Writer

_SHOWN_AFTER = 1.0
"""Seconds after which a trial has a folder to look at; many are over before that."""

_SHOWN_EVERY = 1.0
"""Seconds between two writings of a running trial's metrics.csv."""


@dataclass
class Showing:
    """Writes of trials that run.

    Attributes:
        writer: who writes.
        send: is told which trials have begun.
        keep_every: seconds between two writings of a trial's lane; None for none.
    """

    writer: Writer
    send: Send
    keep_every: float | None

    def started(self, runs: Sequence[Run]) -> None:
        """Send `Started` for each trial that has its first lane."""
        begun = []
        for run in [run for run in runs if run.folder.life.began is None]:
            run.shown = run.kept = time.monotonic()
            whole = run.trial or run
            if whole.folder.life.began is None:
                whole.folder.life.begin()
                self.writer.do(run.job.number, whole.folder.begin, after=_SHOWN_AFTER)
                begun.append(Started(run.job.number))
            if run.trial:
                run.folder.life.begin()
        if begun:
            self.send(*begun)

    def epoch_ended(self, group: Group) -> None:
        """Write what is due of a group's trials."""
        now, every, due = time.monotonic(), self.keep_every, []
        for lane, run in group.runs.items():
            if now - run.shown > _SHOWN_EVERY:
                run.shown = now
                rows = list(run.training.rows)
                self.writer.do(run.job.number, partial(run.folder.rows, rows))
            if every and now - run.kept > every:
                due.append(lane)
        if due:
            assert group.stack is not None
            group.stack.fetch(due)
            for lane in due:
                group.runs[lane].kept = now
                self.keep(group.runs[lane], group.stack.save(lane))

    def keep(self, run: Run, saved: dict[str, Any]) -> None:
        """Write a trial's lane, for it to go on from if this process is lost."""
        self.writer.do(run.job.number, lambda: run.folder.checkpoint(LANE, saved))
