"""Runs in a file for other programs: Parquet, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from caviar.base.plain import cell
from caviar.reading.rows import Row
from caviar.runs.edits import in_force, read_edits
from caviar.runs.files import write_atomic
from caviar.runs.text import strict

KINDS = ("parquet", "csv", "json")

Table = dict[str, list[Any]]
"""Column name -> its values, all of the same length."""


def write(path: Path, kind: str, table: Table) -> None:
    """Write a table whole; ``kind`` is one of `KINDS`."""
    path = path.parent.resolve() / path.name  # it is the user's own way there
    write_atomic(path, {"parquet": _parquet, "csv": _csv, "json": _json}[kind](table))


def epochs_of(rows: list[Row]) -> Table:
    """Every epoch of some runs: run, epoch, step, then a column a metric; where a run was edited while it
    trained, also ``edits``: how many of those in force were made before the epoch ended.
    """
    from caviar.reading.metrics import read_metrics

    metrics, _ = read_metrics((index, row.folder) for index, row in enumerate(rows))
    runs = [rows[index] for index in metrics.pop("trial")]
    table = {"run": [row.facts["run"] for row in runs]}
    if any(row.facts["edits"] for row in rows):
        made = {row.folder: [e.epoch for e in in_force(read_edits(row.folder))] for row in rows}
        ends = zip(runs, metrics["epoch"], strict=True)
        table["edits"] = [sum(at <= epoch for at in made[row.folder]) for row, epoch in ends]
    return {**table, **{str(name): metrics[name].tolist() for name in metrics}}


def _parquet(table: Table) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {}
    for name, values in table.items():
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1:
            # A column of words and numbers (choice(auto, 0.1)) is a column of words.
            kind = float if kinds == {int, float} else str
            values = [None if value is None else kind(value) for value in values]
        arrays[name] = pa.array(values)
    buffer = io.BytesIO()
    parquet.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([cell(name) for name in table])
    for row in zip(*table.values(), strict=True):
        writer.writerow("" if value is None else cell(value) for value in row)
    return text.getvalue()


def _json(table: Table) -> str:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    held = {"schema": 1, "columns": list(table), "rows": rows}
    return json.dumps(strict(held), ensure_ascii=False) + "\n"
