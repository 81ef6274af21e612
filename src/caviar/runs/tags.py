"""A run's tags: those of its config, until a person has put others on it, in ``tags.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError
from caviar.runs.fields import TEXT, each
from caviar.runs.files import read_json, write_atomic
from caviar.runs.folder import Result, check_name

TAGS = "tags.json"
FACT = "tags"
"""The fact of a run's ``result.json`` that holds its config's tags."""
_TAGS = each(TEXT)


def tags_of(config: Any) -> list[str]:
    """The words that a config lists as ``tags``; whatever else an app calls so is passed over."""
    from omegaconf import ListConfig, OmegaConf  # a list of runs needs none

    def found(key: str) -> Any:
        return OmegaConf.select(config, key, throw_on_resolution_failure=False)

    listed = found(FACT)
    if not isinstance(listed, ListConfig):
        return []
    words = [found(f"{FACT}[{place}]") for place in range(len(listed))]
    return [word for word in words if isinstance(word, str) and is_tag(word)]


def is_tag(word: object) -> bool:
    """Whether a run can have this word as a tag."""
    try:
        check_name(str(word))
    except UsageError:
        return False
    return True


def read_tags(folder: Path, result: Result) -> list[str]:
    """The tags of the run in ``folder``, sorted.

    Raises:
        UsageError: they cannot be read.
    """
    try:
        found = read_json(folder / TAGS)
    except FileNotFoundError:
        return sorted(result.facts[FACT]) if _TAGS[0](result.facts.get(FACT)) else []
    if not _TAGS[0](found):
        raise UsageError(f"{folder / TAGS}: not a list of words")
    return sorted(found)


def write_tags(folder: Path, tags: Iterable[str]) -> None:
    """Put exactly these tags on a run."""
    write_atomic(folder / TAGS, json.dumps(sorted(tags)) + "\n")
