"""A watched run in the terminal: live on one, plain lines off one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from caviar.base.plain import echo
from caviar.base.words import short
from caviar.panda.curves import curve
from caviar.panda.files import alive, how_ended, read_health, read_status
from caviar.reading.metrics import read_rows
from caviar.runs.edits import Edit, in_force, read_edits

EVERY = 0.5
"""Seconds between two looks."""
SHOWN = 4
"""Edits that are shown where rows are few: the last ones."""
WIDTH, HEIGHT, LEAST_HEIGHT = 64, 8, 2
"""Of a curve, in characters."""


def watch(run: Path, once: bool = False, console: Console | None = None) -> None:
    """Show ``run`` until it ends, or as it is now.

    Raises:
        UsageError: it is not a watched run.
    """
    console = console or Console()
    status = read_status(run)
    if once:
        console.print(_view(run, status, console))
    elif console.is_terminal:
        with Live(_view(run, status, console), console=console, refresh_per_second=4) as live:
            while alive(run):
                time.sleep(EVERY)
                live.update(_view(run, read_status(run), console))
            live.update(_view(run, read_status(run), console))
    else:
        _lines(run)


def _lines(run: Path) -> None:
    """A line an epoch, a finding and an edit; no control characters, so a log file reads well."""
    rows_shown = findings_shown = edits_shown = 0
    state = None
    while True:
        living = alive(run)
        status, (_, rows) = read_status(run), read_rows(run)
        edits, health = read_edits(run), read_health(run)
        for edit in edits[edits_shown:]:
            echo(edit.in_words())
            if edit.kind == "rollback":
                rows_shown = min(rows_shown, len([r for r in rows if int(r["epoch"]) < edit.epoch]))
        edits_shown = len(edits)
        for row in rows[rows_shown:]:
            echo(_row(row, status))
        rows_shown = len(rows)
        for one in health[findings_shown:]:
            what = f"{one['sentence']}. {one['remedy']}" if one["begins"] else "over"
            echo(f"epoch {one['epoch']}: {one['check']}: {what}")
        findings_shown = len(health)
        now = status["state"] if living else how_ended(status)
        if now != state:
            echo(f"{run.name}: {now}")
            state = now
        if not living:
            return
        time.sleep(EVERY)


def _row(row: dict[str, str], status: dict[str, Any]) -> str:
    names = [name for name in _shown(status) if row.get(name)]
    return f"epoch {row['epoch']}: " + " ".join(f"{n}={short(float(row[n]))}" for n in names)


def _shown(status: dict[str, Any]) -> list[str]:
    names = [*status["losses"], status["metric"]]
    return list(dict.fromkeys(name for name in names if name))


def _view(run: Path, status: dict[str, Any], console: Console) -> Group:
    """What is wrong and what was done first; then the curves, in the rows that a terminal has left."""
    (_, rows), edits = read_rows(run), read_edits(run)
    kept = in_force(edits)
    state = status["state"] if alive(run) else how_ended(status)
    vitals = status["vitals"] or {}
    speed = vitals.get("steps_per_second")
    head = (
        f"{run.name}  {state}  epoch {status['epoch']} of {status['max_epochs']}, "
        f"step {status['step']}" + (f", {speed:.0f} steps/s" if speed else "")
    )
    values = "  ".join(f"{k}={short(v)}" for k, v in status["settings"].items() if v is not None)
    room = console.height - 1 if console.is_terminal else None
    cut = _cut(room)
    made = [Text(edit.in_words() + _undone(edit, kept), **cut) for edit in edits]
    top: list[Any] = [Text(head, style="bold"), Text(values, style="dim")]
    top += _checks(status["findings"], room)
    if room is not None and len(made) > SHOWN:
        made = [Text(f"{len(made) - SHOWN} earlier edits", style="dim"), *made[-SHOWN:]]
    top += made
    marks = {edit.epoch: edit.edit for edit in kept}
    curves = []
    for name in _shown(status):
        points = [(int(r["epoch"]), float(r[name])) for r in rows if r.get(name)]
        if points:
            curves.append((name, points))
    left = None if room is None else room - len(console.render_lines(Group(*top), pad=False))
    return Group(*top, *_panels(curves, marks, left, console.width))


def _panels(
    curves: list[tuple[str, list[tuple[int, float]]]],
    marks: dict[int, int],
    rows: int | None,
    columns: int,
) -> list[Panel]:
    """As many curves as there are rows for, the score's first; each has a border, and a row of marks."""
    beside = 3 if marks else 2
    if rows is not None:
        count = min(len(curves), max(rows, 0) // (LEAST_HEIGHT + beside))
        curves = curves[len(curves) - count :]  # the score is the last
    height = HEIGHT if rows is None or not curves else min(HEIGHT, rows // len(curves) - beside)
    width = max(min(WIDTH, columns - 16), 8)
    return [
        Panel(Text(curve(points, marks, width, height)), title=Text(name), title_align="left")
        for name, points in curves
    ]


def _cut(room: int | None) -> dict[str, Any]:
    """How a line is written that is to be one row: where rows are few."""
    return {} if room is None else {"no_wrap": True, "overflow": "ellipsis"}


def _undone(edit: Edit, kept: list[Edit]) -> str:
    return "" if edit in kept or edit.kind == "rollback" else "  (undone)"


def _checks(findings: list[dict[str, Any]], room: int | None) -> list[Text]:
    """Two lines a finding, of as many as take up half the screen."""
    if not findings:
        return [Text("checks: all well", style="green")]
    most = len(findings) if room is None else max((room - 6) // 4, 1)
    lines, cut = [], _cut(room)
    for one in findings[:most]:
        lines.append(Text(f"{one['check']}: {one['sentence']}", style="yellow", **cut))
        lines.append(Text(f"  {one['remedy']}", **cut))
    if len(findings) > most:
        lines.append(Text(f"and {len(findings) - most} findings more", style="dim"))
    return lines
