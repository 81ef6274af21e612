"""What a watched run writes of its own edits; `caviar.runs.edits` reads it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from caviar.runs.edits import EDITS, Edit, in_force, read_edits
from caviar.runs.files import write_atomic


def write_edits(run: Path, edits: list[Edit]) -> None:
    """Write the whole record: there are few, and so no line is ever torn."""
    lines = [json.dumps({k: v for k, v in asdict(e).items() if v is not None}) for e in edits]
    write_atomic(run / EDITS, "".join(f"{line}\n" for line in lines))


def facts(run: Path) -> dict[str, Any]:
    """What ``result.json`` says of a run's edits; empty for a run that its config alone made."""
    edits = read_edits(run)
    if not edits:
        return {}
    return {"edits": len(edits), "edits_in_force": [e.in_words() for e in in_force(edits)]}
