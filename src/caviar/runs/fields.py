"""Checks of the fields of a run's files: a damaged file gives an error that names the field."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from caviar.base.errors import UsageError

Must = tuple[Callable[[Any], bool], str]
"""Whether a value is right, and what it must be, in words."""

NUMBER: Must = (lambda value: type(value) in (int, float), "a number")
WHOLE: Must = (lambda value: type(value) is int and 0 <= value < 1 << 63, "a whole number")
FLAG: Must = (lambda value: type(value) is bool, "true or false")
TEXT: Must = (lambda value: isinstance(value, str), "text")
MAPPING: Must = (lambda value: isinstance(value, dict), "a mapping")
LIST: Must = (lambda value: isinstance(value, list), "a list")


def optional(must: Must) -> Must:
    """The same, or nothing."""
    return lambda value: value is None or must[0](value), must[1]


def each(must: Must) -> Must:
    """A list of such values."""
    right = must[0]
    return (lambda value: LIST[0](value) and all(map(right, value)), f"a list, each {must[1]}")


def mapping_to(must: Must) -> Must:
    """A mapping to such values."""
    right = must[0]
    return (
        lambda value: MAPPING[0](value) and all(map(right, value.values())),
        f"a mapping, each value {must[1]}",
    )


def either(*musts: Must) -> Must:
    """Any of them."""
    words = ", or ".join(must[1] for must in musts)
    return lambda value: any(must[0](value) for must in musts), words


def check_fields(
    path: Path | str, held: Mapping[Any, Any], must: Mapping[str, Must], needed: Iterable[str] = ()
) -> None:
    """Raise UsageError unless what a file holds is what it must be.

    Args:
        path: the file, which the error names.
        held: its fields; those that ``must`` does not know may be anything.
        needed: those that may not be missing.
    """
    missing = [name for name in needed if held.get(name) is None]
    if missing:
        raise UsageError(f"{path}: it has no {', no '.join(missing)}")
    for name, (right, words) in must.items():
        if name in held and not right(held[name]):
            raise UsageError(f"{path}: {name}={reprlib.repr(held[name])}: must be {words}")
