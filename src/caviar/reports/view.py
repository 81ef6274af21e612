"""Which view of a running sweep: a live panel on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from caviar.reports.progress import Lines
from caviar.reports.tally import Tally
from caviar.sweep.settings import Settings

if TYPE_CHECKING:
    from caviar.reports.live import LivePanel


def make_view(
    folder: Path,
    settings: Settings,
    n_trials: int,
    lanes: int,
    earlier: Iterable[FrozenTrial],
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
