"""A file that a process locks for as long as it lives: no pid to mistake, in a container too."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def hold(path: Path) -> IO[str] | None:
    """Lock a file, made where there is none, until what is returned is closed.

    On a file system without locks the file is open all the same, and counts as not held.

    Returns:
        None where another process holds it.
    """
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        pass
    return file


def is_held(path: Path) -> bool:
    """Whether another process holds the file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
