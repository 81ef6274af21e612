"""Lightning without its chatter, which a thousand trials would repeat a thousand times."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """For the block, silence what Lightning tells of hardware and limits; warnings are heard."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 asks torch 2.13 in a way that the latter is about to drop.
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
            # A training here is one process, on a machine of Slurm's too: see `caviar.lightning.alone`.
            warnings.filterwarnings("ignore", "The .srun. command is available on your system")
            # Workers of a DataLoader would take the cores that a sweep's other trials are on.
            warnings.filterwarnings("ignore", ".*does not have many workers which may be a bottle")
            # The table of a module's parameters says their size in memory as if they were float32.
            warnings.filterwarnings("ignore", "Precision .* is not supported by the model summary")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
