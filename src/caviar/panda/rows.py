"""``metrics.csv`` of a run whose own loggers do not write it: a row an epoch, of all that is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caviar.reading.metrics import read_rows
from caviar.runs.files import append_whole, write_atomic
from caviar.runs.folder import METRICS
from caviar.runs.text import csv_text


class Rows:
    """Writes the file.

    Args:
        run: the run folder. Rows that stand there stay, up to the first new epoch.
    """

    def __init__(self, run: Path) -> None:
        self._file = run / METRICS
        self._columns: list[str] | None = None

    def add(self, row: dict[str, Any]) -> None:
        """One more row, which has an ``epoch``."""
        if self._columns is None or not row.keys() <= set(self._columns):
            rows, columns = self._before(row["epoch"])
            self._columns = [*columns, *(name for name in row if name not in columns)]
            self._write([*rows, row])
        else:
            append_whole(self._file, csv_text([row], self._columns, header=False))

    def rewind(self, epoch: int) -> None:
        """Take back the rows from ``epoch`` on."""
        rows, self._columns = self._before(epoch)
        self._write(rows)

    def _before(self, epoch: int) -> tuple[list[dict[str, Any]], list[str]]:
        columns, rows = read_rows(self._file.parent)
        return [row for row in rows if int(row["epoch"]) < epoch], columns

    def _write(self, rows: list[dict[str, Any]]) -> None:
        write_atomic(self._file, csv_text(rows, self._columns))
