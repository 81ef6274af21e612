"""What this machine gives: a folder for what was found out about it, and a C++ compiler."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TENANTS = "CAVIAR_GPU_TENANTS"
"""The environment's word for how many workers share a worker's GPU, itself included."""


def cache_folder() -> Path:
    """``CAVIAR_CACHE``, else ``caviar`` in the user's folder for caches."""
    own = os.environ.get("CAVIAR_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caviar"


def compiler() -> str | None:
    """A C++ compiler, if there is one: ``CXX``, else g++ or clang++."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None
