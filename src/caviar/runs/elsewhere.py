"""Sweeps that lie elsewhere than in the outputs folder, as an app's own ``hydra.sweep.dir`` has it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from caviar.base.machine import state_folder
from caviar.runs.fields import TEXT, each
from caviar.runs.files import read_text, write_atomic
from caviar.runs.folder import outputs_root

_FILE = "elsewhere.json"
_MOST = 200
_NOTED = each(each(TEXT))
"""Pairs: the working directory of sweeps, and the folder that they lie in."""


def note_place(sweep: Path) -> None:
    """Note that sweeps begun in this working directory lie beside ``sweep``, so that commands find them.

    In the user's own folder for state: an app's repository is left alone. Where that cannot be written, the
    sweep goes by its path.
    """
    if sweep.parent == outputs_root() / "sweeps":
        return
    noted = [str(Path.cwd()), str(sweep.parent)]
    others = [one for one in _noted() if one != noted]
    with suppress(OSError):
        state_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(state_folder() / _FILE, json.dumps([*others, noted][-_MOST:]), durable=False)


def places() -> list[Path]:
    """The folders that hold sweeps which were begun in this working directory."""
    here = str(Path.cwd())
    return [Path(place) for began, place in _noted() if began == here]


def _noted() -> list[list[str]]:
    try:
        found: Any = json.loads(read_text(state_folder() / _FILE))
    except (OSError, ValueError):
        return []
    return found if _NOTED[0](found) and all(len(one) == 2 for one in found) else []
