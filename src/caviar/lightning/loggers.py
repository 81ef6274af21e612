"""The default logger: metrics.csv in the run folder, one row an epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from caviar.reading.metrics import read_rows
from caviar.runs.files import append_whole, write_atomic
from caviar.runs.folder import METRICS
from caviar.runs.inside import make_folders
from caviar.runs.text import csv_text


class MetricsCSV(Logger):
    """Writes ``metrics.csv``: ``epoch``, ``step`` (of the optimizer, from 0), a column a metric.

    What is logged several times in an epoch is one row; what is logged without an epoch goes into the
    next. A row is appended as soon as it is known, so a run can be watched; no file stays open. Where the
    file is there already, because an earlier try of the run was cut short, its rows up to the first new
    epoch stay.

    Args:
        folder: where the file goes; it is made if needed.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.rows: list[dict[str, Any]] = []
        self.columns: list[str] = []
        self._ahead: dict[str, float] = {}

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> int:
        return 0

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take in numbers of a step; an epoch is one row."""
        values = dict(metrics)
        if "epoch" not in values:  # a callback's, before its epoch has a row
            self._ahead.update(values)
            return
        row = {"epoch": int(values.pop("epoch")), "step": step, **self._ahead, **values}
        self._ahead = {}
        first = not self.rows
        self.rows = self._before(row["epoch"]) if first else self.rows
        same = bool(self.rows) and self.rows[-1]["epoch"] == row["epoch"]
        if same:
            self.rows[-1].update(row)
        else:
            self.rows.append(row)
        fresh = [column for column in row if column not in self.columns]
        self.columns += fresh
        if first or same or fresh:
            make_folders(self.folder)
            write_atomic(self.folder / METRICS, csv_text(self.rows, self.columns))
        else:
            append_whole(self.folder / METRICS, csv_text([row], self.columns, header=False))

    def rewind(self, epoch: int) -> None:
        """Take back the rows from ``epoch`` on: training has returned to it."""
        self.rows = self._before(epoch)
        write_atomic(self.folder / METRICS, csv_text(self.rows, self.columns))

    def _before(self, epoch: int) -> list[dict[str, Any]]:
        """The rows before ``epoch``; of a training that has logged none yet, those in the file."""
        if not self.rows:
            self.columns, rows = read_rows(self.folder)
            self.rows = [{**row, "epoch": int(row["epoch"])} for row in rows]
        return [row for row in self.rows if row["epoch"] < epoch]
