"""The tags that a person puts on a run: ``tags.json``, which the run itself never writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from caviar.runs.files import write_atomic

TAGS = "tags.json"


def read_tags(folder: Path) -> list[str]:
    """A run's tags, sorted."""
    try:
        found = json.loads((folder / TAGS).read_bytes())
    except (OSError, ValueError):
        return []
    return sorted(str(tag) for tag in found) if isinstance(found, list) else []


def write_tags(folder: Path, tags: Iterable[str]) -> None:
    """Put exactly these tags on a run."""
    write_atomic(folder / TAGS, json.dumps(sorted(tags)) + "\n")
