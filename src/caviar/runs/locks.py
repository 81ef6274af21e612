"""A file that a process locks for as long as it lives: no pid to mistake, in a container too."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path
from typing import IO

from caviar.runs.inside import open_inside

_HELD: weakref.WeakSet[IO[str]] = weakref.WeakSet()


def hold(path: Path) -> IO[str] | None:
    """Lock a file, made where there is none, until what is returned is closed.

    On a file system without locks the file is open all the same, and counts as not held.

    Returns:
        None where another process holds it.
    """
    file = open_inside(path, "a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        pass
    _HELD.add(file)
    return file


def _close_all() -> None:
    """In a copy of this process, which would hold the locks after its end."""
    for file in list(_HELD):
        file.close()


os.register_at_fork(after_in_child=_close_all)


def is_held(path: Path) -> bool | None:
    """Whether another process holds the file; None where that cannot be known."""
    try:
        with open_inside(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
