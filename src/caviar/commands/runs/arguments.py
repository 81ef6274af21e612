"""What several ``caviar runs`` commands take, and the runs that it names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caviar.commands.names import complete_run, complete_sweep, named
from caviar.commands.tables import say

if TYPE_CHECKING:
    from caviar.reading.rows import Row, Rows

Sweeps = Annotated[list[str] | None, named("Sweeps; none for all runs.", complete_sweep, "SWEEP")]
OneSweep = Annotated[str, named("A sweep; the latest by default.", complete_sweep)]
OneRun = Annotated[
    str,
    named(
        "A run or a trial: a path, a name, SWEEP/7, 7 (of the latest sweep), latest, best, -1.",
        complete_run,
        "RUN",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(help="Only runs of which this holds: \"lr < 1e-3 and state == 'COMPLETE'\"."),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, with a schema version.")]
Csv = Annotated[bool, typer.Option("--csv", help="As CSV, every digit.")]
Md = Annotated[bool, typer.Option("--md", help="As a Markdown table.")]


def rows_of(sweeps: list[str] | None) -> tuple[list[Path], Rows]:
    """The folders of the sweeps that are named, and the rows of their trials; of none, of all runs."""
    from caviar.reading.find import find_sweep
    from caviar.reading.index import all_runs, runs_of

    folders = list(dict.fromkeys(find_sweep(name) for name in sweeps or []))
    rows = runs_of(folders) if folders else all_runs()
    for problem in rows.problems[:5]:
        say(f"skipped: {problem}")
    if len(rows.problems) > 5:
        say(f"skipped: {len(rows.problems) - 5} folders more")
    return folders, rows


def note_edits(shown: Iterable[Row]) -> None:
    """Say which of the runs were edited while they trained, where the table does not."""
    edited = [row.facts["run"] for row in shown if row.facts["edits"]]
    if edited:
        named = ", ".join(edited[:3]) + (f" and {len(edited) - 3} more" if len(edited) > 3 else "")
        say(f"edited while training: {named}; caviar runs show {edited[0]} tells how")


def settings_of(sweep: Path, under_way: bool = False) -> dict[str, Any]:
    """What ``sweep.yaml`` holds. Says what keeps it from being read, or, of one that has ended, why none of
    its trials is the best.
    """
    from caviar.base.direction import directions, no_best
    from caviar.base.errors import UsageError
    from caviar.runs.sweep_file import read_sweep_file

    try:
        settings = read_sweep_file(sweep)
    except UsageError as error:
        say(f"skipped: {error}")
        return {}
    if not (under_way or directions(settings)):
        say(f"{sweep.name}: {no_best(settings)}")
    return settings


def choose(
    rows: Rows, where: str | None, sort: str | None, columns: str | None, all_columns: bool
) -> tuple[list[Row], list[str]]:
    """The runs that are shown, in order, and the columns."""
    from caviar.reading.select import columns_named, in_order, matching

    shown = in_order(matching(rows, where), rows, sort)
    if columns is not None:
        return shown, columns_named(rows, columns)
    return shown, rows.columns() if all_columns else rows.varying(shown)
