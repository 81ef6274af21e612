"""The text of a run folder's files.

YAML is put together by hand: a sweep of short trials writes thousands, and this takes a fraction of the
library's time. It gives what that would (tests hold it to it); what is not simple is left to the library.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from typing import Any, cast

import yaml

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def strict(value: Any) -> Any:
    """``value`` as strict JSON holds it: what that has not, as a NaN, is a string."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return float.__repr__(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def csv_text(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, header: bool = True
) -> str:
    """Rows as Lightning's CSV logger has them; without ``columns`` one stands where it first comes up."""
    text = io.StringIO()
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header and columns:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_OVERRIDE = re.compile(r"[A-Za-z_][A-Za-z0-9_./]*=[A-Za-z0-9_.+-]*")
"""``optimizer.lr=0.1``: a string that YAML takes for nothing else, another one in each trial."""


class _NotSimpleError(Exception):
    pass


def to_yaml(value: Any) -> str:
    """Plain containers as YAML, in the order given."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def yaml_text(value: Any) -> str:
    """``value`` as `to_yaml` has it."""
    try:
        if value and isinstance(value, dict | list):
            return "".join(_yaml_lines(value, ""))
    except _NotSimpleError:
        pass
    return to_yaml(value)


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
    return len(key) < 30 and to_yaml({key: 0}) == f"{key}: 0\n"


@lru_cache(1024)
def _yaml_string(value: str) -> str:
    if len(value) >= 40:
        raise _NotSimpleError  # it may be folded, which depends on where it stands
    text = to_yaml([value]).removeprefix("- ").removesuffix("\n")
    if "\n" in text or to_yaml({"key": value}) != f"key: {text}\n":
        raise _NotSimpleError
    return text
