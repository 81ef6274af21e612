"""JSON and YAML of a run's files, whoever wrote them: plain values, in bounds, or an error.

A text that was damaged, or made so on purpose, may be nested deeper than any reader's stack (libyaml's
ends the process), grow without end by YAML's aliases, or hold what is no data of a run.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

import yaml

DEEPEST = 100
"""Lists and mappings within one another at most."""
LARGEST = 10**308
"""What no float holds is no number of a run."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ODD_JSON = re.compile(r"\\u[dD][89a-fA-F]|\d{308}|NaN\s*:")
_NESTING = re.compile(r"^[\t ?:-]{100}", re.MULTILINE)
_OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


def parse_json(text: str) -> Any:
    """Plain values, from JSON.

    Raises:
        ValueError: it is none, or holds what no run writes; in one line.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("[") + text.count("{") < DEEPEST and not _ODD_JSON.search(text):
        return found  # nothing in it can be odd
    return _plain(found, len(text) + 1)


def parse_yaml(text: str) -> Any:
    """Plain values, from YAML: no dates, no bytes, nothing that a tag makes.

    Raises:
        ValueError: it is none, or holds what no run writes; in one line.
    """
    try:
        if text.count("[") + text.count("{") >= DEEPEST or _NESTING.search(text):
            _check_depth(text)
        found = yaml.load(text, Loader=_Loader)
    except Exception as error:  # a tag whose value is none raises anything
        raise ValueError(" ".join(f"{error}".split()) or type(error).__name__) from None
    return _plain(found, 10 * len(text) + 1000)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):  # type: ignore[no-untyped-call]  # half typed
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if depth > DEEPEST:
            raise ValueError("nested too deeply")


def _plain(found: Any, most: int) -> Any:
    """A copy in which nothing is shared, of ``most`` values at most."""
    left = most

    def copied(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("its aliases make more of it than there is")
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        if isinstance(node, dict):
            held = cast("dict[Any, Any]", node)
            return {_scalar(key): copied(value, depth + 1) for key, value in held.items()}
        if isinstance(node, list):
            return [copied(value, depth + 1) for value in cast("list[Any]", node)]
        return _scalar(node)

    return copied(found, 0)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        # Half of a character that needs two can be neither shown nor written.
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, int) and not -LARGEST < value < LARGEST:
        raise ValueError(f"a number of {len(hex(value)) * 5 // 4} digits")
    if value is None or isinstance(value, int | float):
        return value
    raise ValueError(f"it holds a {type(value).__name__}, which no run writes")
