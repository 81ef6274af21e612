"""Waiting for a thing to happen, with a deadline; never for a time to go by."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(happened: Callable[[], Any], what: str, deadline: float = 60.0) -> Any:
    """Return what ``happened`` gives, once that is true; fail with ``what`` after the deadline."""
    end = time.monotonic() + deadline
    while not (found := happened()):
        assert time.monotonic() < end, f"waited {deadline:g} s in vain: {what}"
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has ended too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
