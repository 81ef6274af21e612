"""``caviar report``: what a sweep means, in sentences."""

from __future__ import annotations

from typing import Annotated

import typer

from caviar.commands.names import NAMES, complete_sweep, options_refused


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(
        name="report",
        help="Say what sweeps mean: each conclusion with its numbers and the command to run next.",
        context_settings=NAMES,
    )(report)


def report(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(help="Sweeps, by path, by name, or latest.", autocompletion=complete_sweep),
    ] = None,
) -> None:
    """Example: caviar report latest"""
    from caviar.reports.verdicts.base import Evidence
    from caviar.reports.verdicts.registry import judge
    from caviar.runs.load import load

    options_refused(sweeps or [])
    for name in sweeps or ["latest"]:
        sweep = load(name)
        typer.echo(f"{sweep.folder.name}: {len(sweep.numbers)} trials")
        for verdict in judge(Evidence.of(sweep)):
            typer.echo(f"  {verdict.status:8} {verdict.name}: {verdict.sentence}")
            if verdict.next:
                typer.echo(f"           next: {verdict.next}")
