"""Garbage collections, put off where they find nothing: while imports, or tables, are loaded that stay."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """No collection meanwhile (a sixth of an import's time); later ones do not look at what it leaves."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def collect_from_now() -> None:
    """End `uncollected` early: all is loaded, and neither later collections nor the exit look at it."""
    gc.freeze()
    gc.enable()
