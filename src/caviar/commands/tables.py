"""How the commands print: a rich table on a terminal, tab-separated off it, or as asked for."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from caviar.base import plain, words
from caviar.base.errors import UsageError
from caviar.runs.text import strict

SCHEMA = 1
"""Version of all ``--json`` output; it grows by one whenever a key changes its meaning."""

COLOURS = {"COMPLETE": "green", "FAIL": "red", "PRUNED": "yellow", "RUNNING": "cyan"}


TEXT = 12
"""Characters that a text keeps where a table is wider than the terminal."""


def one_format(**asked: bool) -> str:
    """The one format asked for, or ``terminal`` or ``tabs``, whichever stdout is.

    Raises:
        UsageError: more than one is asked for.
    """
    chosen = [name for name, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} cannot be had together")
    if chosen:
        return chosen[0]
    return "terminal" if sys.stdout.isatty() else "tabs"


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    form: str,
    title: str | None = None,
    narrow: str = "drop",
) -> None:
    """Print a table.

    Args:
        columns: their names.
        rows: a value a column.
        form: ``terminal``, ``tabs``, ``csv`` or ``md``.
        title: shown on a terminal alone.
        narrow: what becomes of a table that is wider than the terminal: ``drop`` leaves out its last
            columns and says so, ``turn`` shows its rows as columns, ``fold`` breaks lines within cells.
    """
    if form == "terminal":
        _print_rich(columns, rows, title, narrow)
    elif form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([plain.cell(column) for column in columns])
        writer.writerows([plain.cell(exact(value)) for value in row] for row in rows)
        # Off a terminal it is data, and every character of it counts.
        whole = text.getvalue()
        sys.stdout.write(plain.printable(whole) if sys.stdout.isatty() else whole)
    elif form == "md":
        lines = [[plain.cell(short(v)) for v in row] for row in [columns, *rows]]
        for line in [lines[0], ["---"] * len(columns), *lines[1:]]:
            cells = (_one_line(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in line)
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
    else:
        for line in [columns, *rows]:
            sys.stdout.write("\t".join(_one_line(exact(cell)) for cell in line) + "\n")


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object, strict: a NaN or an infinity is a string, as in ``result.json``."""
    # Where the reader's encoding does not hold every character, JSON's own way to write them does.
    # So it does on a terminal, which other characters could steer.
    escaped = sys.stdout.isatty() or "utf" not in (sys.stdout.encoding or "").lower()
    text = json.dumps({"schema": SCHEMA, **strict(dict(data))}, indent=1, ensure_ascii=escaped)
    sys.stdout.write(text + "\n")


def say(message: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write(plain.printable(message) + "\n")


def exact(value: Any) -> str:
    """A value for a program: every digit, nothing for None."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def short(value: Any) -> str:
    """A value for a person: four significant digits of a float, nothing for None."""
    return "" if value is None else words.short(value)


def _one_line(text: str) -> str:
    # What a run wrote is neither to break a row nor to steer a terminal.
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


def _print_rich(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None, narrow: str
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    names = [_one_line(name) for name in words.last_parts(columns)]
    numbers = [
        all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(names))
    ]
    cells = [[_one_line(short(value)) for value in row] for row in rows]
    count = len(names) if narrow == "fold" else _fitting(names, numbers, cells, console.width)
    if narrow == "turn" and count < len(names):
        turned = zip(names, zip(*cells, strict=True), strict=True)
        names, *cells = ([name, *line] for name, line in turned)
        numbers, count = [False] * len(names), len(names)
    table = Table(
        title=Text(_one_line(title)) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for index, name in enumerate(names[:count]):
        # A run's name is what the other commands take: it is never cut.
        whole = name in ("run", "sweep", "state") or numbers[index]
        table.add_column(
            Text(name),
            justify="right" if numbers[index] else "left",
            no_wrap=whole,
            overflow="fold" if narrow == "fold" else "ellipsis",
        )
    for line in cells:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in line[:count]))
    console.print(table)
    if count < len(names):
        left_out = ", ".join(names[count:][:6]) + (", …" if len(names) > count + 6 else "")
        say(f"too narrow for {len(names) - count} columns more: {left_out}; --columns chooses")


def _fitting(
    names: Sequence[str], numbers: Sequence[bool], cells: Sequence[Sequence[str]], width: int
) -> int:
    """How many of the columns fit in ``width``: at least one; a text may be cut to `TEXT` characters."""
    from rich.cells import cell_len

    used = 0
    for index, name in enumerate(names):
        needed = max(cell_len(text) for text in [name, *(line[index] for line in cells)])
        if not numbers[index] and name not in ("run", "sweep", "state"):
            needed = min(needed, max(TEXT, cell_len(name)))
        used += needed + (3 if index else 2)
        if used > width:
            return max(index, 1)
    return len(names)
