"""The cells of a column as numbers, or as words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from caviar.tables.format import Format

pc: Any = pyarrow.compute
TEXT = pa.large_string()

ISO = "ISO8601"
DURATION = "duration"
"""What `numbers` takes for ``time`` beside a format of `datetime.strptime`."""

NO_NUMBER = (
    *("NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None", "NaN", "nan"),
    *("-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "NaT"),
)
"""Words that count as missing in a column of numbers: what pandas takes for missing."""

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


def decoded(column: Any) -> Any:
    """A column of an Arrow table in one piece, text as `TEXT`, the values of a dictionary in place."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        column = column.cast(TEXT)  # bytes where they are UTF-8
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def words(column: Any, form: Format) -> Any:
    """Each cell's text, None where it is missing: a number as Python writes it, text as it stands."""
    array = decoded(column)
    if not is_text(array.type):
        array = _by_distinct(array, _texts)
    if form.words != "as_written":
        alike = str.strip if form.words == "trimmed" else folded
        array = _by_distinct(array, lambda distinct: [alike(w) for w in distinct.to_pylist()])
    if form.na_values:
        missing = pc.is_in(array, value_set=pa.array(form.na_values, TEXT))
        array = pc.if_else(missing, pa.scalar(None, TEXT), array)
    return array


def folded(word: str) -> str:
    """A word without what is mostly an accident: blanks, upper case, a form of Unicode, ``.0``."""
    word = unicodedata.normalize("NFKC", word).casefold()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", " ".join(word.split()), flags=re.ASCII)


def whole(array: Any) -> Any:
    """Words, those of whole numbers without a point: ``1`` for ``1.0``."""
    return pc.replace_substring_regex(array, r"^(-?\d+)\.0+$", r"\1")


def numbers(
    column: Any, form: Format, unit: str | None = None, time: str | None = None
) -> tuple[Numbers, Mask]:
    """Each cell's number, NaN where it is missing or infinite, and which cells are no numbers at all.

    Args:
        unit: the sign that each number of a text has before or after it: ``%``, ``€``.
        time: cells are dates (`ISO`, or how they are written), as seconds since 1970 (UTC), or
            durations (`DURATION`), in seconds; None: plain numbers.
    """
    array = decoded(column)
    if is_text(array.type):
        found, wrong = _times(array, form, time) if time else _parsed(array, form, unit)
    else:
        found = _stored(array, time)
        wrong = np.zeros(len(array), bool)
        if found is None:
            found, wrong = np.full(len(array), np.nan), array.is_valid().to_numpy(False)
    found = np.where(np.isfinite(found), found, np.nan)
    # -999 is the same number as -999.0, however a file has it.
    gone = _parsed(pa.array(form.na_values, TEXT), Format(), None)[0]
    found[np.isin(found, gone)] = np.nan
    return found, wrong


@cache
def _number_pattern(decimal: str, thousands: str | None) -> str:
    point = re.escape(decimal)
    digits = r"\d+"
    if thousands:
        digits = rf"(?:\d+|\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+)"
    plain = rf"(?:{digits}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
    return rf"^[+-]?(?:{plain}|(?i:inf|infinity))$"


def _parsed(array: Any, form: Format, unit: str | None) -> tuple[Numbers, Mask]:
    if form.thousands != "." and not unit:
        try:  # all of them as a computer writes it, which may be so beside columns with 1,5
            return _floats(array.cast(pa.float64())), np.zeros(len(array), bool)
        except pa.ArrowInvalid:
            pass  # some cell is no plain number
    text = pc.utf8_trim_whitespace(array)
    if unit:
        sign = re.escape(unit)
        text = pc.replace_substring_regex(text, rf"^([+-]?)\s*{sign}\s*|\s*{sign}$", r"\1")
    missing = pc.is_in(text, value_set=pa.array(["", *NO_NUMBER, *form.na_values], TEXT))
    is_number = pc.match_substring_regex(text, _number_pattern(form.decimal, form.thousands))
    if form.thousands:
        text = pc.replace_substring(text, form.thousands, "")
    if form.decimal != ".":
        text = pc.replace_substring(text, form.decimal, ".")
    known = pc.and_(is_number, pc.invert(missing))
    values = pc.if_else(known, text, pa.scalar(None, TEXT)).cast(pa.float64())
    wrong = pc.and_(pc.invert(is_number), pc.invert(missing)).fill_null(False)
    return _floats(values), wrong.to_numpy(zero_copy_only=False)


def _times(array: Any, form: Format, time: str) -> tuple[Numbers, Mask]:
    import pandas as pd

    text = pc.utf8_trim_whitespace(array)
    missing = pc.is_in(text, value_set=pa.array(["", *NO_NUMBER, *form.na_values], TEXT))
    coded = pc.if_else(missing, pa.scalar(None, TEXT), text).dictionary_encode()
    distinct = pd.Index(coded.dictionary.to_pylist(), dtype=object)
    if time == DURATION:
        read: Any = pd.to_timedelta(distinct, errors="coerce")
        ticks = read.to_numpy(dtype="timedelta64[us]")
    else:
        read = pd.to_datetime(distinct, format=time, utc=True, errors="coerce")
        ticks = read.tz_localize(None).to_numpy(dtype="datetime64[us]")
    found = _floats(pa.array(_seconds(ticks), from_pandas=False).take(coded.indices))
    there = coded.indices.is_valid().to_numpy(zero_copy_only=False)
    return found, there & np.isnan(found)


def _seconds(ticks: NDArray[Any]) -> Numbers:
    """Durations in seconds, dates in seconds since 1970; NaN where there is none."""
    since = ticks if ticks.dtype.kind == "m" else ticks - np.datetime64("1970-01-01")
    return since / np.timedelta64(1, "s")


def _stored(array: Any, time: str | None) -> Numbers | None:
    """What a column holds that is not text, as numbers; None where they are no such numbers."""
    kind, types = array.type, pa.types
    if types.is_null(kind):
        return np.full(len(array), np.nan)
    if types.is_temporal(kind) and not types.is_interval(kind):
        length = types.is_duration(kind) or types.is_time(kind)
        if time is None or (time == DURATION) is not length:
            return None
        if types.is_time(kind):
            array = array.cast(pa.time64("ns")).cast(pa.int64()).cast(pa.duration("ns"))
        return _seconds(array.to_numpy(zero_copy_only=False))
    if time is None and (
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    ):
        return _floats(array.cast(pa.float64(), safe=False))
    return None


def _floats(array: Any) -> Numbers:
    # Copied: what Arrow hands out may be read only.
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _by_distinct(array: Any, texts: Any) -> Any:
    """Each cell as ``texts`` has the distinct values: to look at each of these once is enough."""
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    coded = array.dictionary_encode()
    return pa.array(texts(coded.dictionary), TEXT).take(coded.indices)


def _texts(values: Any) -> list[str | None]:
    if pa.types.is_floating(values.type):
        # As numpy writes it, in which a float32 has the digits that it needs.
        found = values.to_numpy(zero_copy_only=False)
        return [None if value != value else str(value) for value in found]
    return [str(value) for value in values.to_pylist()]


def unit_of(texts: Sequence[str]) -> str | None:
    """The sign, ``%`` or a currency's, that the first of ``texts`` has before or after it; or None."""
    for text in texts[:1]:
        word = text.strip().lstrip("+-").strip()
        for sign in (word[:1], word[-1:]):
            if sign and (sign in "%‰" or unicodedata.category(sign) == "Sc"):
                return sign
    return None
