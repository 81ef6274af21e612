"""``caviar report``: a sweep, or several side by side, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caviar.commands.names import NAMES, complete_sweep, options_refused
from caviar.commands.tables import say
from caviar.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command("report", context_settings=NAMES)(report)


def report(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SWEEP", help="Sweeps; none for the latest.", autocompletion=complete_sweep
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file; report.html in the sweep's folder, or here for several.",
        ),
    ] = None,
) -> None:
    """Say what a sweep means, and write report.html: that, with figures and every trial.

    One file without a request to anywhere: open it from disk, or send it. Several sweeps are
    compared on the same axes.

    Examples:

      caviar report

      caviar report wide narrow -o compared.html
    """
    from caviar.reports.html import write_report
    from caviar.reports.tally import printable
    from caviar.runs.find import find_sweep
    from caviar.runs.folder import REPORT
    from caviar.runs.load import Sweep

    names = sweeps or ["latest"]
    options_refused(names)
    folders = list(dict.fromkeys(find_sweep(name) for name in names))
    path = out or (folders[0] / REPORT if len(folders) == 1 else Path(REPORT))
    if path.is_dir():
        raise UsageError(f"output={path}: that is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"output={path}: there is no folder {path.parent}")
    shown = write_report([Sweep(folder) for folder in folders], path)
    for sweep in shown:
        lines = [f"{sweep['name']}: {len(sweep['trials'])} trials"]
        for verdict in sweep["verdicts"]:
            lines.append(f"  {verdict['status']:8} {verdict['name']}: {verdict['sentence']}")
            if verdict["next"]:
                lines.append(f"           next: {verdict['next']}")
        print(printable("\n".join(lines)))
    say(f"report: {path}")
