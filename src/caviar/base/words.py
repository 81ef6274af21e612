"""Numbers and durations as a person reads them in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

WHAT_NEXT = "what next"
"""The verdict that says how to go on."""


def short(value: object) -> str:
    """A value for reading: four significant digits of a float, everything else as it is."""
    return digits(value, 4) if isinstance(value, float) else str(value)


def digits(value: float, count: int) -> str:
    """``count`` significant digits; just below 1, where a momentum lies, at least two of ``1 - value``."""
    off = 1 - abs(value)
    places = 1 - math.floor(math.log10(off)) if 0 < off < 1 else 0
    return f"{value:.{places}f}".rstrip("0") if places > count else f"{value:.{count}g}"


def last_parts(names: Sequence[str]) -> list[str]:
    """Each name's last part, or all of it where another one is that: ``lr`` of ``optimizer.lr``."""
    last = [name.rpartition(".")[2] for name in names]
    return [
        part if last.count(part) == 1 and part not in names else name
        for name, part in zip(names, last, strict=True)
    ]


def duration(seconds: float) -> str:
    """``42 s``, ``3 min``, ``2 h 5 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
