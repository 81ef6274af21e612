"""The progress bar, where somebody is watching."""

import sys

from lightning.pytorch.callbacks import RichProgressBar

from caviar.runs.active import active_run


def progress_bar() -> RichProgressBar | None:
    """A rich progress bar for a single run in a terminal; None in a sweep, a log file or a pipe."""
    run = active_run()
    in_sweep = run is not None and run.listener is not None
    return RichProgressBar() if sys.stdout.isatty() and not in_sweep else None
