"""What this machine gives: its user's folders for caches and state, and a C++ compiler."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TENANTS = "CAVIAR_GPU_TENANTS"
"""The environment's word for how many workers share a worker's GPU, itself included."""


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
