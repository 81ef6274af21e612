"""``caviar new``: a project of one's own, which depends on caviar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caviar.base.plain import echo


def new(
    name: Annotated[str, typer.Argument(help="What the project and its package are called.")],
    place: Annotated[Path, typer.Option("--in", help="The folder that it is made in.")] = Path(),
) -> None:
    """Make a project that depends on caviar: a package, configs and tests to start from.

    Example: caviar new pearls
    """
    from caviar.app.new import make_project

    made = make_project(name, place)
    echo(f"{made}: a package, its configs and its tests; README.md tells what to type")
