"""``caviar runs …``: list, show, compare, export, tag and remove logged runs; a file a command."""

from __future__ import annotations

import typer

from caviar.commands.names import NAMES
from caviar.commands.runs.best import best
from caviar.commands.runs.diff import diff
from caviar.commands.runs.export import export
from caviar.commands.runs.list import list_
from caviar.commands.runs.rm import rm
from caviar.commands.runs.show import show
from caviar.commands.runs.tag import tag


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    runs = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="List, show, compare, export, tag and remove logged runs.",
    )
    for command in (list_, show, diff, best, export, tag, rm):
        runs.command(command.__name__.rstrip("_"), context_settings=NAMES)(command)
    app.add_typer(runs, name="runs")
