"""Text that somebody else may have written, made fit for a terminal or a spreadsheet."""

from __future__ import annotations

import re
from typing import IO, Any

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, movements
    r"|\x1b[\]P^_X][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]"
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # which way text runs
)

_FORMULA = re.compile(r"[\s\x00]*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


def printable(text: str) -> str:
    """``text`` without control characters, which could colour, move, clear or turn round a terminal.

    Line breaks and tabs stay.
    """
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("", text)


def echo(*lines: object, end: str = "\n", file: IO[str] | None = None) -> None:
    """Print lines that may hold text from a run, without control characters, at once."""
    print(*(printable(str(line)) for line in lines), sep="\n", end=end, file=file, flush=True)


def cell(value: Any) -> Any:
    """``value`` as a cell of a CSV or Markdown table that a spreadsheet may open.

    Text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection);
    a number stays a number, be it negative.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
