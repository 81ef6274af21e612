"""Runs in a file for other programs: Parquet, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from caviar.runs.files import write_atomic
from caviar.runs.index import Row

KINDS = ("parquet", "csv", "json")

Table = dict[str, list[Any]]
"""Column name -> its values, all of the same length."""


def write(path: Path, kind: str, table: Table) -> None:
    """Write a table whole; ``kind`` is one of `KINDS`."""
    write_atomic(path, {"parquet": _parquet, "csv": _csv, "json": _json}[kind](table))


def epochs_of(rows: list[Row]) -> Table:
    """Every epoch of some runs: run, epoch, step, then a column a metric."""
    from caviar.runs.load import read_metrics

    metrics, _ = read_metrics((index, row.folder) for index, row in enumerate(rows))
    names = [rows[index].facts["run"] for index in metrics.pop("trial")]
    return {"run": names, **{str(name): metrics[name].tolist() for name in metrics}}


def _parquet(table: Table) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {}
    for name, values in table.items():
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1 and kinds != {int, float}:
            # A column of words and numbers (choice(auto, 0.1)) is a column of words.
            values = [None if value is None else str(value) for value in values]
        elif kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        arrays[name] = pa.array(values)
    buffer = io.BytesIO()
    parquet.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow("" if value is None else value for value in row)
    return text.getvalue()


def _json(table: Table) -> str:
    rows = [
        {name: _strict(value) for name, value in zip(table, row, strict=True)}
        for row in zip(*table.values(), strict=True)
    ]
    return (
        json.dumps({"schema": 1, "columns": list(table), "rows": rows}, ensure_ascii=False) + "\n"
    )


def _strict(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
