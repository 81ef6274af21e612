"""The progress bar, where somebody is watching."""

import sys

from lightning.pytorch.callbacks import RichProgressBar

from caviar.runs.active import active_run


class ProgressBar(RichProgressBar):
    """A rich progress bar for a single run in a terminal; not `wanted` in a sweep, a log file or a pipe."""

    @property
    def wanted(self) -> bool:
        """Whether somebody is watching."""
        run = active_run()
        in_sweep = run is not None and run.listener is not None
        return sys.stdout.isatty() and not in_sweep
