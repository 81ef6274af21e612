"""What this machine gives: its user's folders for caches and state, memory, and a C++ compiler."""

from __future__ import annotations

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path

TENANTS = "CAVIAR_GPU_TENANTS"
"""The environment's word for how many workers share a worker's GPU, itself included."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's ``malloc.h`` calls M_…: bytes, from which on freed memory is given back."""


def cache_folder() -> Path:
    """``CAVIAR_CACHE``, else ``caviar`` in the user's folder for caches."""
    return _users("CACHE", ".cache")


def state_folder() -> Path:
    """``CAVIAR_STATE``, else ``caviar`` in the user's folder for state."""
    return _users("STATE", ".local/state")


def _users(kind: str, usual: str) -> Path:
    if own := os.environ.get(f"CAVIAR_{kind}"):
        return Path(own)
    return Path(os.environ.get(f"XDG_{kind}_HOME") or Path.home() / usual) / "caviar"


def compiler() -> str | None:
    """A C++ compiler, if there is one: ``CXX``, else g++ or clang++."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


def keep_freed_memory() -> None:
    """Have this process keep the memory that it frees, where the C library is glibc.

    It else gives a large tensor's back at once, and a stack's step, which makes dozens of them, spends a
    third of its time on pages that the kernel fills with zeros.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
