"""``caviar runs tag``: words on a run, to find it again."""

from __future__ import annotations

from typing import Annotated

import typer

from caviar.base.errors import usage_error
from caviar.base.plain import echo
from caviar.commands.names import without_options
from caviar.commands.runs.arguments import OneRun


def tag(
    run: OneRun,
    tags: Annotated[
        list[str] | None, typer.Argument(help="Tags to add.", callback=without_options)
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to take off.")] = None,
) -> None:
    """Put tags on a run, to find it again: --where "'keep' in tags". Without any, print them.

    A run has those of its config (tags=[keep]) from the start.

    Examples:

      caviar runs tag best keep paper

      caviar runs tag wide/7 --remove keep
    """
    from caviar.reading.find import find_run
    from caviar.runs.folder import Result, check_name
    from caviar.runs.tags import read_tags, write_tags

    folder = find_run(run)
    for name in tags or []:
        check_name(name)
    held = set(read_tags(folder, Result.read(folder)))
    for name in remove or []:
        if name not in held:
            raise usage_error("remove", name, "the run has no such tag", sorted(held))
    new = sorted((held | set(tags or [])) - set(remove or []))
    if new != sorted(held):
        write_tags(folder, new)
    for name in new:
        echo(name)
