"""``caviar runs best``: the best run of a sweep, or the path of its checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.commands.names import complete_sweep, options_refused
from caviar.commands.runs.arguments import Json, Where, note_edits, rows_of
from caviar.commands.runs.show import show
from caviar.commands.tables import one_format


def best(
    sweep: Annotated[
        str,
        typer.Argument(help="A sweep; the latest by default.", autocompletion=complete_sweep),
    ] = "latest",
    ckpt: Annotated[
        bool, typer.Option("--ckpt", help="Print its checkpoint's path alone.")
    ] = False,
    path: Annotated[bool, typer.Option("--path", help="Print its folder alone.")] = False,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """The best run of a sweep; with --ckpt one path, fit for $(…).

    Examples:

      caviar runs best

      caviar predict "$(caviar runs best --path)" data=new.csv

      caviar runs best wide --where "model.depth == 2" --json
    """
    from caviar.base.direction import no_best, sign
    from caviar.reading.compare import best_of
    from caviar.reading.find import find_sweep
    from caviar.reading.select import matching
    from caviar.runs.folder import Result
    from caviar.runs.places import inside
    from caviar.runs.sweep_file import read_sweep_file

    options_refused([sweep])
    one_format(ckpt=ckpt, path=path, json=as_json)
    folder = find_sweep(sweep)
    settings = read_sweep_file(folder)
    signed = sign(settings)
    if signed is None:
        raise UsageError(f"sweep={folder.name}: {no_best(settings)}; see runs list")
    _, rows = rows_of([str(folder)])
    found = best_of(matching(rows, where), signed)
    if found is None:
        raise UsageError(
            f"sweep={folder.name}: no trial of it is complete"
            + (f" where {where}" if where else "")
        )
    if ckpt or path:
        note_edits([found])
    if ckpt:
        name = Result.read(found.folder).checkpoint
        checkpoint = inside(found.folder, name)
        if checkpoint is None or not checkpoint.is_file():
            kept = f"its checkpoint {name} is not there" if name else "it kept no checkpoint"
            raise UsageError(f"run={found.facts['run']}: {kept}")
        echo(checkpoint)
    elif path:
        echo(found.folder)
    else:
        show(str(found.folder), as_json)
