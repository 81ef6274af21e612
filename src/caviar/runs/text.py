"""The text of a run folder's files, put together by hand: a sweep of short trials writes thousands.

Each function gives the library's text (tests compare them) in a fraction of its time; values that are
not simple are left to the library.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, cast


def json_text(value: Any, pad: str = "") -> str:
    """``value`` as ``json.dumps(value, indent=1)`` has it.

    For strict JSON, a NaN or infinite number stands as a string; so does what JSON does not know.

    Args:
        pad: what its inner lines begin with.
    """
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else f'"{float.__repr__(value)}"'
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    inner = pad + " "
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        items = {encode_basestring_ascii(str(k)): json_text(v, inner) for k, v in held.items()}
        return _block("{", [f"{key}: {text}" for key, text in items.items()], "}", pad)
    if isinstance(value, list | tuple):
        within = cast("Sequence[Any]", value)
        return _block("[", [json_text(item, inner) for item in within], "]", pad)
    return encode_basestring_ascii(str(value))


def _block(first: str, lines: Sequence[str], last: str, pad: str) -> str:
    if not lines:
        return first + last
    between = f",\n{pad} "
    return f"{first}\n{pad} {between.join(lines)}\n{pad}{last}"


class CsvText:
    """A table that grows: rows as Lightning's CSV logger has them, a column where one first comes up."""

    def __init__(self) -> None:
        self._columns: list[str] = []
        self._lines: list[str] = []

    def of(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The text of all ``rows``: those of the last call, and what has come after them."""
        for row in rows[max(len(self._lines) - 1, 0) :]:
            if not row.keys() <= set(self._columns):
                self._columns = list(dict.fromkeys([*self._columns, *row]))
                before = rows[: max(len(self._lines) - 1, 0)]
                self._lines = [_csv_line(self._columns), *map(self._line, before)]
            self._lines.append(self._line(row))
        return "".join(self._lines)

    def _line(self, row: Mapping[str, Any]) -> str:
        cells = [row.get(column, "") for column in self._columns]
        if any(type(cell) not in (float, int) and cell != "" for cell in cells) or len(cells) < 2:
            return _csv_line(cells)
        return ",".join(["" if cell == "" else repr(cell) for cell in cells]) + "\n"


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


_OVERRIDE = re.compile(r"[A-Za-z_][A-Za-z0-9_./]*=[A-Za-z0-9_.+-]*")
"""``optimizer.lr=0.1``: a string that YAML takes for nothing else, another one in each trial."""


class _NotSimpleError(Exception):
    pass


def yaml_text(value: Any) -> str:
    """``value`` as `caviar.runs.config.to_yaml` has it."""
    try:
        if value and isinstance(value, dict | list):
            return "".join(_yaml_lines(value, ""))
    except _NotSimpleError:
        pass
    return _library_yaml(value)


def _yaml_lines(value: Any, pad: str) -> list[str]:
    lines: list[str] = []
    if type(value) is list:
        for item in cast("list[Any]", value):
            lines.append(f"{pad}- {_yaml_scalar(item)}\n")
        return lines
    for key, item in value.items():
        if type(key) is not str or not _plain_key(key) or len(pad) > 20:
            raise _NotSimpleError
        if type(item) in (dict, list) and item:
            # A list stands as far to the left as its key.
            lines.append(f"{pad}{key}:\n")
            lines += _yaml_lines(item, pad if type(item) is list else pad + "  ")
        else:
            lines.append(f"{pad}{key}: {_yaml_scalar(item)}\n")
    return lines


def _yaml_scalar(value: Any) -> str:
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]  # of anything
    if kind is float:
        if not math.isfinite(value):
            return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[repr(value)]
        text = repr(value)
        # YAML takes 1e-05 for a string.
        return text.replace("e", ".0e", 1) if "." not in text and "e" in text else text
    if kind is int:
        return repr(value)
    if value is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if kind is str and len(value) < 60:
        return value if _OVERRIDE.fullmatch(value) else _yaml_string(value)
    if kind in (dict, list) and not value:
        return "{}" if kind is dict else "[]"
    raise _NotSimpleError


@lru_cache(1024)
def _plain_key(key: str) -> bool:
    return len(key) < 30 and _library_yaml({key: 0}) == f"{key}: 0\n"


@lru_cache(1024)
def _yaml_string(value: str) -> str:
    if len(value) >= 40:
        raise _NotSimpleError  # it may be folded, which depends on where it stands
    text = _library_yaml([value]).removeprefix("- ").removesuffix("\n")
    if "\n" in text or _library_yaml({"key": value}) != f"key: {text}\n":
        raise _NotSimpleError
    return text


def _library_yaml(value: Any) -> str:
    # Not imported at the top: it brings omegaconf, and whoever only reads run folders needs none.
    from caviar.runs.config import to_yaml

    return to_yaml(value)
