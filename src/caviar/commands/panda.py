"""``caviar watch | set | rollback | pause | replay``: one run, watched and edited while it trains."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from caviar.base.plain import echo
from caviar.commands.names import complete_single

Run = Annotated[
    str,
    typer.Argument(help="The run: its name, folder, or latest.", autocompletion=complete_single),
]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the run to say it is done.")]

Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run what the folder says whatever it is: it may be anybody's program."
    ),
]


def watch(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and end.")] = False,
) -> None:
    """Show a watched run live: its curves, what is wrong with it, its edits.

    Example: caviar watch latest
    """
    from caviar.panda.steer import find_watched
    from caviar.panda.watch import watch as show

    show(find_watched(run), once)


def set_command(
    run: Run,
    values: Annotated[list[str], typer.Argument(help="KEY=VALUE, such as optimizer.lr=3e-4.")],
    at: Annotated[
        int | None, typer.Option(help="Not at the next step, but when this epoch begins.")
    ] = None,
    wait: Wait = 30.0,
) -> None:
    """Change a running training's hyperparameters.

    Example: caviar set latest optimizer.lr=3e-4 --at 10
    """
    from caviar.panda import steer

    echo(steer.edit(run, values, at, wait))


def rollback(
    run: Run,
    to: Annotated[int | None, typer.Option(help="The edit's number; else the last one.")] = None,
    wait: Wait = 30.0,
) -> None:
    """Return a running training to where it was before an edit.

    Example: caviar rollback latest --to 2
    """
    from caviar.panda import steer

    echo(steer.roll_back(run, to, wait))


def pause(run: Run, wait: Wait = 30.0) -> None:
    """Hold a running training before its next step; caviar resume goes on.

    Example: caviar pause latest
    """
    from caviar.panda import steer

    echo(steer.request(run, "pause", wait))


def replay(run: Run, trust: Trust = False) -> None:
    """Train a run again with its recorded edits, and compare the metrics.

    Example: caviar replay latest
    """
    from caviar.panda.replay import compare
    from caviar.panda.replay import replay as again
    from caviar.panda.steer import find_watched
    from caviar.runs.edits import in_force, read_edits

    try:
        folder = again(found := find_watched(run), trust)
    except RuntimeError as error:
        echo(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    epochs, difference = compare(found, folder)
    came = difference or f"{epochs} epochs identical, bit for bit"
    echo(f"{folder}: {len(in_force(read_edits(found)))} edits made again; {came}")
    if difference:
        raise typer.Exit(1)
