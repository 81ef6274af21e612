"""Learning curves as one table: every row of many ``metrics.csv`` files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from caviar.runs import folder as names
from caviar.runs.files import read_text, unreadable

if TYPE_CHECKING:
    from pandas import DataFrame

NAN = float("nan")


def read_metrics(folders: Iterable[tuple[int | None, Path]]) -> tuple[DataFrame, list[str]]:
    """All rows of many ``metrics.csv`` files, and what could not be used.

    Read by hand: pandas takes 1 ms a file, and believes a number that is only half written yet.
    """
    import pandas as pd

    columns: dict[str, list[float]] = {"epoch": [], "step": []}
    trials: list[int | None] = []
    problems: list[str] = []
    for number, folder in folders:
        path = f"{folder}/{names.METRICS}"
        try:
            # What follows the last newline is being written.
            header, *rows = _cells(read_text(path).rpartition("\n")[0])
            table = [_numbers(row) for row in rows if row]
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
            problems.append(unreadable(path, error))
            continue
        if any(len(row) != len(header) for row in table) or len(set(header)) < len(header):
            problems.append(f"{path}: its rows do not fit its header")
            continue
        before = len(trials)
        trials += [number] * len(table)
        by_column = zip(*table, strict=True) if table else [()] * len(header)
        for name, numbers in zip(header, by_column, strict=True):
            name = "trial." if name == "trial" else name
            column = columns.setdefault(name, [])
            if len(column) < before:
                column += [NAN] * (before - len(column))
            column += numbers
    for column in columns.values():
        column += [NAN] * (len(trials) - len(column))
    found = pd.DataFrame({"trial": trials, **columns})
    for name in ("trial", "epoch", "step"):
        whole = found[name].notna().all() and (found[name] % 1 == 0).all()
        found[name] = found[name].astype("int64" if whole else "float64")
    return found, problems


def _cells(text: str) -> list[list[str]]:
    if '"' in text:
        return list(csv.reader(io.StringIO(text)))
    return [line.split(",") if line else [] for line in text.split("\n")]


def _numbers(row: list[str]) -> list[float]:
    try:
        return [*map(float, row)]
    except ValueError:
        return [float(cell) if cell else NAN for cell in row]
