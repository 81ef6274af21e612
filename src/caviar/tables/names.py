"""Columns by their names, as they are typed on Hydra's command line or stand in a YAML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from caviar.base.errors import UsageError, usage_error


def meant(given: Any, names: Sequence[str], key: str, path: Any) -> str:
    """The column of ``names`` that ``given`` names.

    Hydra takes what is typed as ``2``, ``1e3`` or ``true`` for a number or a boolean; the name is then
    the one that it would take for the same.

    Raises:
        UsageError: there is none, or more than one.
    """
    if isinstance(given, str) and given in names:
        return given
    like = [name for name in dict.fromkeys(names) if _same(_as_typed(name), given)]
    if str(given) in like or len(like) == 1:
        return str(given) if str(given) in like else like[0]
    if like:
        problem = f"may be any of the columns {', '.join(map(shown, like))} of {path}; quote it"
        raise usage_error(key, given, problem)
    raise usage_error(key, given, f"no such column in {path}", [shown(name) for name in names])


def shown(name: str) -> str:
    """A name as a message has it: in quotes where it has blanks at an end, or what is not to be seen."""
    plain = name.isprintable() and name == " ".join(name.split()) and name
    return name if plain else repr(name)


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names in a row, and how many more there are than ``most``."""
    named = [shown(name) for name in names]
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def column(table: pa.Table, name: str, key: str = "data.path") -> pa.ChunkedArray:
    """The one column of this name.

    Raises:
        UsageError: there is none, or more than one.
    """
    places = [i for i, other in enumerate(table.column_names) if other == name]
    if not places:
        raise UsageError(f"{key}: no column {shown(name)}, which the run was trained on")
    if len(places) > 1:
        check_distinct([name] * len(places), key)
    return table.column(places[0])


def check_distinct(names: Iterable[str], key: str) -> None:
    """Raise UsageError where two columns have one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"{key}: {count} columns are called {shown(name)}; rename all but one")


def _as_typed(name: str) -> Any:
    try:
        return OverridesParser.create().parse_override(f"x={name}").value()
    except HydraException:
        return name


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b)) and not isinstance(a, str)
