"""``caviar runs list``: runs as a table."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caviar.commands.runs.arguments import (
    Csv,
    Json,
    Md,
    Sweeps,
    Where,
    choose,
    note_edits,
    rows_of,
    settings_of,
)
from caviar.commands.tables import one_format, print_json, print_rows, say

TERMINAL_LIMIT = 50


def list_command(
    sweeps: Sweeps = None,
    where: Where = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Column to sort by, -COLUMN for descending, or best. Default: newest."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which columns, with commas: run,value,lr.")
    ] = None,
    all_columns: Annotated[
        bool, typer.Option("--all-columns", help="Every column, not only those that vary.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help=f"At most so many; 0 for all. A terminal gets {TERMINAL_LIMIT}."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="A line a sweep: counts, best, how soon found.")
    ] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    as_md: Md = False,
) -> None:
    """List runs: those of some sweeps, or all; by default the columns that vary.

    JSON has all columns. Several sweeps are compared first, on a terminal.

    Examples:

      caviar runs list latest --sort best --limit 10

      caviar runs list --where "optimizer.lr < 1e-3 and state == 'COMPLETE'"

      caviar runs list wide narrow --summary

      caviar runs list latest --columns run,value,lr --csv > runs.csv
    """
    from caviar.reading.compare import summarise
    from caviar.reading.find import outputs_root
    from caviar.reading.rows import by_sweep
    from caviar.runs.places import sweep_folders

    form = one_format(json=as_json, csv=as_csv, md=as_md)
    folders, rows = rows_of(sweeps)
    if summary and not folders:
        folders = sweep_folders()
    groups = by_sweep(folders, rows.rows)
    summaries = summarise(groups) if summary or (len(folders) > 1 and form != "csv") else []
    if summaries:
        for folder in folders:
            settings_of(folder)  # says of which it is not known what is better
    if summary:
        if form == "json":
            print_json({"sweeps": summaries})
        else:
            _print_summaries(summaries, form)
        return
    shown, chosen = choose(rows, where, sort, columns, all_columns or form == "json")
    cut = limit if limit is not None else (TERMINAL_LIMIT if form == "terminal" else 0)
    total = len(shown)
    shown = shown[:cut] if cut else shown
    if "edits" not in chosen or form == "terminal":  # a terminal may be too narrow for the column
        note_edits(shown)
    cells = [[row.get(column) for column in chosen] for row in shown]
    if form == "json":
        runs = [dict(zip(chosen, line, strict=True)) for line in cells]
        print_json({"columns": chosen, "runs": runs} | ({"sweeps": summaries} if summaries else {}))
        return
    if summaries and form == "terminal":
        _print_summaries(summaries, form)
    print_rows(chosen, cells, form)
    if not total:
        found = f"none of {len(rows.rows)} runs: --where {where}"
        say(found if rows.rows else f"no runs in {outputs_root()}")
    if len(shown) < total and limit is None:
        say(f"{total - len(shown)} runs more; --limit 0 lists all")


def _print_summaries(summaries: list[dict[str, Any]], form: str) -> None:
    names = list(summaries[0]) if summaries else ["sweep"]
    rows = [[line.get(name) for name in names] for line in summaries]
    print_rows(names, rows, form, narrow="turn")
