"""Where what has been found out about this machine is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``CAVIAR_CACHE``, else ``caviar`` in the user's folder for caches."""
    own = os.environ.get("CAVIAR_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caviar"
