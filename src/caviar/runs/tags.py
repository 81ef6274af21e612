"""The tags that a person puts on a run: ``tags.json``, which the run itself never writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from caviar.base.errors import UsageError
from caviar.runs.fields import TEXT, each
from caviar.runs.files import read_json, write_atomic

TAGS = "tags.json"
_TAGS = each(TEXT)


def read_tags(folder: Path) -> list[str]:
    """A run's tags, sorted.

    Raises:
        UsageError: they cannot be read.
    """
    try:
        found = read_json(folder / TAGS)
    except FileNotFoundError:
        return []
    if not _TAGS[0](found):
        raise UsageError(f"{folder / TAGS}: not a list of words")
    return sorted(found)


def write_tags(folder: Path, tags: Iterable[str]) -> None:
    """Put exactly these tags on a run."""
    write_atomic(folder / TAGS, json.dumps(sorted(tags)) + "\n")
