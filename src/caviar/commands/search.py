"""``caviar zoom | confirm``: what a finished sweep leads to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.commands.names import complete_sweep, sweep_folder
from caviar.commands.panda import Trust

if TYPE_CHECKING:
    from caviar.reading.sweep import Sweep

Name = Annotated[
    str,
    typer.Argument(help="The sweep: its folder, its name, latest.", autocompletion=complete_sweep),
]


def zoom_command(
    sweep: Name,
    name: Annotated[str | None, typer.Option(help="The new space's name; zoom_SWEEP.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the space configs; configs/space, here or of the sweep."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a space of this name.")
    ] = False,
) -> None:
    """Write the next, narrower (or moved) space of a finished sweep.

    Example: caviar zoom outputs/sweeps/first --name second
    """
    from caviar.reading.sweep import Sweep
    from caviar.reports.again import follow_up
    from caviar.reports.evidence import Evidence
    from caviar.reports.model import zoomed
    from caviar.runs.folder import check_name
    from caviar.runs.places import typed
    from caviar.space.quoting import as_text
    from caviar.zoom.config import config_of, write_space
    from caviar.zoom.next_space import THIN

    opened = Sweep.whole(sweep_folder(sweep))
    name = name or f"zoom_{opened.folder.resolve().name}"
    check_name(name)
    if as_text(name) != name:
        raise usage_error("name", name, f"Hydra does not take space={name} for a name")
    assert opened.sign  # or it is said that it has none
    found = zoomed(Evidence.of(opened))
    if isinstance(found, str):
        raise UsageError(f"zoom: {THIN}: {found}")
    out = out or _spaces(opened)
    path = out / f"{name}.yaml"
    text = config_of(found, opened, out)
    write_space(text, path, force)
    echo(text, end="")
    searched = [h.name for h in opened.space.hyperparameters]
    command = follow_up(opened.settings, [f"space={name}"], opened.ours, searched)
    echo(f"written to {typed(path)}; search it with: {command or f'space={name}'}", file=sys.stderr)


def _spaces(sweep: Sweep) -> Path:
    """Where space configs are: here, or else where the sweep was started, if it is ours."""
    here = Path("configs/space")
    started = sweep.settings.get("folder")
    if here.is_dir() or not sweep.ours or not isinstance(started, str):
        return here
    return Path(started) / here


def confirm_command(
    sweep: Name,
    top: Annotated[int, typer.Option(help="How many of the best trials.")] = 5,
    seeds: Annotated[int, typer.Option(help="How many fresh seeds each.")] = 10,
    test: Annotated[bool, typer.Option(help="Evaluate the test part, if nobody has.")] = True,
    again: Annotated[
        bool, typer.Option("--test-again", help="... though another sweep over this data has.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Retrain a sweep's best trials over fresh seeds; then, once, look at the test part.

    Example: caviar confirm outputs/sweeps/first --top 5 --seeds 10
    """
    from caviar.confirm.confirm import confirm

    folder = sweep_folder(sweep)
    confirm(folder, top, seeds, test, again, trust)
