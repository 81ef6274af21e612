"""Learning curves as one table: every row of many ``metrics.csv`` files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from caviar.base.errors import UsageError
from caviar.runs import folder as names
from caviar.runs.files import read_text, unreadable

if TYPE_CHECKING:
    from pandas import DataFrame


def read_metrics(folders: Iterable[tuple[int | None, Path]]) -> tuple[DataFrame, list[str]]:
    """All rows of many ``metrics.csv`` files, and what could not be used.

    Read by hand: pandas takes 1 ms a file, and believes a number that is only half written yet.
    """
    import numpy as np
    import pandas as pd

    trials: list[int | None] = []
    # Of each: where its rows begin, its columns, its cells.
    parts: list[tuple[int, list[str], list[float]]] = []
    problems: list[str] = []
    for number, folder in folders:
        path = f"{folder}/{names.METRICS}"
        try:
            # What follows the last newline is being written.
            header, rows, numbers = _table(read_text(path).rpartition("\n")[0])
        except FileNotFoundError:
            continue
        except (ValueError, csv.Error) as error:
            problems.append(unreadable(path, error))
            continue
        if rows is None or len(set(header)) < len(header):
            problems.append(f"{path}: its rows do not fit its header")
            continue
        if parts and parts[-1][1] == header:
            parts[-1][2].extend(numbers)
        else:
            parts.append((len(trials), header, numbers))
        trials += [number] * rows
    columns = {name: np.full(len(trials), np.nan) for name in ("epoch", "step")}
    for start, header, numbers in parts:
        cells = np.array(numbers).reshape(-1, max(len(header), 1))
        for name, column in zip(header, cells.T, strict=False):
            name = "trial." if name == "trial" else name
            if name not in columns:
                columns[name] = np.full(len(trials), np.nan)
            columns[name][start : start + len(column)] = column
    found = pd.DataFrame({"trial": trials, **columns})
    for name in ("trial", "epoch", "step"):
        whole = found[name].notna().all() and (found[name] % 1 == 0).all()
        found[name] = found[name].astype("int64" if whole else "float64")
    return found, problems


def read_rows(run: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a run's ``metrics.csv``, and its whole rows so far, as they are written.

    Raises:
        UsageError: it cannot be read, or is no such table.
    """
    path = f"{run}/{names.METRICS}"
    try:
        text = read_text(path)
    except FileNotFoundError:
        return [], []
    try:
        header, *rows = [*csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))] or [[]]
        rows = [dict(zip(header, row, strict=True)) for row in rows if row]
        for row in rows:
            int(row["epoch"])
            any(map(float, filter(None, row.values())))
        if len(set(header)) < len(header):
            raise ValueError
    except (ValueError, LookupError, csv.Error):
        raise UsageError(f"{path}: it is no table of numbers, a row an epoch") from None
    return header, rows


def _table(text: str) -> tuple[list[str], int | None, list[float]]:
    """The header, how many rows there are (None where one does not fit the header), and all their cells.

    Raises:
        ValueError, csv.Error: a cell is no number, or the text no CSV.
    """
    if '"' in text:
        header, *rows = csv.reader(io.StringIO(text))
        rows = [row for row in rows if row]
        cells = [cell for row in rows for cell in row]
        fits = all(len(row) == len(header) for row in rows)
    else:
        first, *rows = text.split("\n")
        header = first.split(",") if first else []
        rows = [row for row in rows if row]
        cells = ",".join(rows).split(",") if rows else []
        commas = len(header) - 1
        fits = all(row.count(",") == commas for row in rows)
    try:
        numbers = [*map(float, cells)]
    except ValueError:
        numbers = [float(cell) if cell else float("nan") for cell in cells]
    return header, len(rows) if fits else None, numbers
