"""What kind of column each is: numbers, dates or categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from caviar.base.errors import UsageError, usage_error
from caviar.tables.cells import DURATION, ISO, decoded, is_text, numbers, unit_of
from caviar.tables.format import Format
from caviar.tables.names import meant, shown
from caviar.tables.preprocessing import Column


def dates_of(given: Any, names: Sequence[str], path: Any) -> dict[str, str]:
    """``data.dates`` as column -> how its dates are written.

    Raises:
        UsageError: no such column, or no such way to write a date.
    """
    several = isinstance(given, Sequence) and not isinstance(given, str)
    pairs = given if isinstance(given, Mapping) else dict.fromkeys(given if several else [given])
    found = {}
    for name, written in pairs.items():
        form = ISO if written is None else str(written)
        if form != ISO:
            try:
                datetime.strptime(datetime.now(UTC).strftime(form), form)
            except ValueError:
                why = "no such format; as in %d.%m.%Y, or null for ISO 8601"
                raise usage_error(f"data.dates.{name}", form, why) from None
        found[meant(name, names, "data.dates", path)] = form
    return found


def kind_of(name: str, cells: Any, form: Format, category: bool, date: str | None) -> Column:
    """The column ``name``, with nothing learnt of it yet: ``values`` is empty for a category.

    Args:
        category: whether it is to be one.
        date: how its dates are written, where it is to be one of dates.

    Raises:
        UsageError: it is none of these kinds, or its dates are not as ``date`` has them.
    """
    types, kind = pa.types, cells.type
    declared = category or types.is_boolean(kind) or types.is_dictionary(kind)
    try:
        array = decoded(cells)
    except (pa.ArrowException, UnicodeDecodeError):
        raise _no_kind(name, kind) from None
    kind = array.type
    if types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
        raise _no_kind(name, kind)
    if date is not None:
        wrong = numbers(array, form, time=date)[1]
        if wrong.any():
            row = int(wrong.argmax())
            written = ISO.replace("8601", " 8601, as in 2026-12-31") if date == ISO else date
            why = f"{shown(str(array[row]))} in row {row + 1} is no date ({written})"
            raise usage_error("data.dates", name, f"{why}; as in 'data.dates={{{name}: %d.%m.%Y}}'")
        return Column(name, time=date)
    if declared:
        return Column(name, values=[])
    if types.is_duration(kind) or types.is_time(kind):
        return Column(name, time=DURATION)
    if types.is_temporal(kind):
        return Column(name, time=ISO)
    if not is_text(kind):
        if numbers(array, form)[1].any():
            raise _no_kind(name, kind)
        return Column(name)
    for unit in (None, unit_of(array.drop_null().slice(0, 1).to_pylist())):
        found, wrong = numbers(array, form, unit)
        # One that holds nothing at all is one of numbers; one of inf and NaN alone is not.
        if not wrong.any() and (np.isfinite(found).any() or array.null_count == len(array)):
            return Column(name, unit=unit)
    return Column(name, values=[])


def _no_kind(name: str, kind: pa.DataType) -> UsageError:
    why = f"holds {kind}, which are neither numbers nor categories"
    return UsageError(f"data.path: column {shown(name)} {why}; leave it out: data.ignore=[{name}]")
