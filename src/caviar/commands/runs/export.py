"""``caviar runs export``: runs, or their learning curves, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caviar.base.errors import UsageError, usage_error
from caviar.commands.runs.arguments import Sweeps, Where, choose, note_edits, rows_of
from caviar.commands.tables import say


def export(
    file: Annotated[Path, typer.Argument(help="Where to: .parquet, .csv or .json.")],
    sweeps: Sweeps = None,
    where: Where = None,
    columns: Annotated[str | None, typer.Option(help="Which columns, with commas.")] = None,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A row an epoch (metrics.csv), not a row a run.")
    ] = False,
) -> None:
    """Write runs into a Parquet, CSV or JSON file, all columns by default.

    Examples:

      caviar runs export runs.parquet

      caviar runs export curves.csv latest --epochs
    """
    from caviar.reading import export as exporting

    kind = file.suffix.lower().lstrip(".")
    if kind not in exporting.KINDS:
        raise usage_error(
            "file", file, "no such format", [f".{k}" for k in exporting.KINDS], f".{kind}"
        )
    if not file.absolute().parent.is_dir():
        raise usage_error("file", file, f"there is no folder {file.absolute().parent}")
    _, rows = rows_of(sweeps)
    if epochs and columns:
        raise UsageError("--epochs and --columns cannot be had together")
    shown, chosen = choose(rows, where, None, columns, all_columns=True)
    if not epochs and "edits" not in chosen:
        note_edits(shown)
    if epochs:
        table = exporting.epochs_of(shown)
    else:
        table = {column: [row.get(column) for row in shown] for column in chosen}
    exporting.write(file, kind, table)
    count = len(next(iter(table.values()), []))
    say(f"{count} rows of {len(table)} columns in {file}")
