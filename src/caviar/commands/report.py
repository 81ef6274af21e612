"""``caviar report``: a sweep, several side by side, or a run, as one HTML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caviar.base.collecting import uncollected
from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.commands.names import complete_sweep, named
from caviar.commands.runs.arguments import Json
from caviar.commands.tables import print_json, say

if TYPE_CHECKING:
    from caviar.reading.sweep import Sweep


def report(
    sweeps: Annotated[
        list[str] | None,
        named("Sweeps, or runs; none for the latest sweep.", complete_sweep, "SWEEP"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file; report.html in the sweep's folder, or here for several.",
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Write the file, or only say what it means.")
    ] = True,
    predictions: Annotated[
        bool,
        typer.Option(
            "--predictions/--no-predictions",
            help="Look at the best trial's predictions for its validation part.",
        ),
    ] = True,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Serve it on 127.0.0.1, and renew it, until the sweep has ended."
        ),
    ] = False,
    as_json: Json = False,
    when_told: Annotated[bool, typer.Option("--when-told", hidden=True)] = False,
) -> None:
    """Say what a sweep means, and write report.html: that, with figures and every trial.

    One file without a request to anywhere: open it from disk, or send it. Several sweeps are
    compared on the same axes.

    Examples:

      caviar report

      caviar report wide narrow -o compared.html

      caviar report --no-page --json

      caviar report --follow
    """
    from caviar.reports.data import meaning
    from caviar.reports.html import write_report
    from caviar.runs.folder import REPORT
    from caviar.runs.places import from_here

    # A sweep loads this before its end, and tells it when to begin, or is gone.
    if when_told and not sys.stdin.readline():
        return
    names = sweeps or ["latest"]
    found = list({held.folder: held for held in map(_find, names)}.values())
    path = out or (found[0].folder / REPORT if len(found) == 1 else Path(REPORT))
    if path.is_dir():
        raise UsageError(f"output={path}: that is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"output={path}: there is no folder {path.parent}")
    place = path.parent.resolve() / path.name if out else path  # the user's own way there
    if follow:
        _follow(found, place, page and predictions)
        say(f"report: {path}")
        return
    with uncollected():
        if page:
            shown = write_report(found, place, [*map(_judged, found)] if predictions else [])
        else:
            shown = [*map(meaning, found)]
    summaries = [
        {
            "name": sweep.folder.name,
            "folder": from_here(sweep.folder),
            "trials": len(sweep.numbers),
            "verdicts": one["verdicts"],
            "worth": one["worth"],
        }
        for sweep, one in zip(found, shown, strict=True)
    ]
    if as_json:
        print_json({"report": str(path) if page else None, "sweeps": summaries})
    else:
        _print(summaries)
    if page:
        say(f"report: {path}")


def _find(name: str) -> Sweep:
    from caviar.reading.find import find_run, find_sweep
    from caviar.reading.sweep import Sweep
    from caviar.reports.data import OneRun

    try:
        return Sweep(find_sweep(name))
    except UsageError as error:
        try:
            return OneRun(find_run(name))
        except UsageError:
            raise error from None


def _follow(found: list[Sweep], place: Path, predictions: bool) -> None:
    """Serve the report on the one sweep until it has ended.

    Raises:
        UsageError: there are several.
    """
    from caviar.reports.follow import Shown, follow
    from caviar.reports.html import page, parts, write_report
    from caviar.runs.program import under_way
    from caviar.sweep.owner import is_running

    if len(found) != 1:
        raise UsageError(f"--follow: takes one sweep, and there are {len(found)}")
    folder, single = found[0].folder, type(found[0])
    made = 0

    def alive() -> bool:
        return is_running(folder) or under_way(folder)

    def make(followed: bool) -> Shown:
        nonlocal made
        made += 1
        sweep = single(folder)
        later = {"why": "Looked at when training has ended."}
        judged = later if followed else _judged(sweep) if predictions else {}
        with uncollected():
            shown = write_report([sweep], place, [judged] if judged else [])
        texts = (page(shown, mark := f'"{made}"'), parts(shown, followed))
        whole, more = (text.encode("utf-8", "replace") for text in texts)
        return Shown(whole, more, mark)

    if alive():
        follow(folder, make, alive)
    else:
        make(followed=False)
        say(f"{folder.name} has ended: there is nothing to follow")


def _judged(sweep: Sweep) -> dict[str, Any]:
    """What the best trial makes of its validation part, or ``why`` that is not known."""
    from caviar.base.errors import name_and_text
    from caviar.reports.data import OneRun
    from caviar.runs.folder import CONFIG
    from caviar.runs.ours import is_signed

    if len(sweep.directions) != 1 or not sweep.ranked:
        return {"why": "There is no one best trial to look at."}
    best = sweep.ranked[0]
    if not (is_signed(sweep.folder, CONFIG) if isinstance(sweep, OneRun) else sweep.ours):
        why = "another user or machine made it, and nothing it names is run"
        return {"why": f"Not computed: {why}."}
    if best.checkpoint is None:
        return {"why": "Not computed: the best trial kept no checkpoint."}
    try:
        from caviar.lightning.judging import judge

        return {"number": best.result.number, **judge(best.folder)}
    except UsageError as error:
        return {"why": f"Not computed: {error}."}
    except Exception as error:  # a project's own code may raise anything: the report stands
        return {"why": f"Not computed: {' '.join(name_and_text(error).split())}."}


def _print(sweeps: list[dict[str, Any]]) -> None:
    from caviar.reports.worth_in_words import in_words

    for sweep in sweeps:
        lines = [f"{sweep['name']}: {sweep['trials']} trials"]
        lines += [f"  {line}" for line in in_words(sweep["worth"])]
        for verdict in sweep["verdicts"]:
            lines.append(f"  {verdict['status']:8} {verdict['name']}: {verdict['sentence']}")
            if verdict["next"]:
                lines.append(f"           next: {verdict['next']}")
        echo(*lines)
