"""``caviar runs best``: the best run of a sweep, or the path of its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from caviar.base.errors import UsageError
from caviar.base.plain import echo
from caviar.commands.runs.arguments import Json, OneSweep, Where, note_edits, rows_of
from caviar.commands.runs.show import show
from caviar.commands.tables import one_format, print_json, print_rows, say

if TYPE_CHECKING:
    from caviar.reading.rows import Row


def best(
    sweep: OneSweep = "latest",
    ckpt: Annotated[
        bool, typer.Option("--ckpt", help="Print its checkpoint's path alone.")
    ] = False,
    path: Annotated[bool, typer.Option("--path", help="Print its folder alone.")] = False,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """The best run of a sweep; with --ckpt one path, fit for $(…). Of several objectives, the Pareto front.

    Examples:

      caviar runs best

      caviar predict "$(caviar runs best --path)" data=new.csv

      caviar runs best wide --where "model.depth == 2" --json
    """
    from caviar.base.direction import directions, no_best, sign
    from caviar.base.objectives import labels
    from caviar.reading.compare import best_of
    from caviar.reading.find import find_sweep
    from caviar.reading.select import by_front, matching
    from caviar.runs.folder import Result
    from caviar.runs.places import inside
    from caviar.runs.sweep_file import read_sweep_file

    one_format(ckpt=ckpt, path=path, json=as_json)
    folder = find_sweep(sweep)
    settings = read_sweep_file(folder)
    signed, objectives = sign(settings), directions(settings)
    if signed is None and (len(objectives) < 2 or ckpt or path):
        raise UsageError(f"sweep={folder.name}: {no_best(settings)}; see runs list")
    _, rows = rows_of([str(folder)])
    matched = matching(rows, where)
    front = by_front(matched, objectives)[0] if signed is None else []
    found = front[0] if signed is None and front else best_of(matched, signed or 1)
    if found is None:
        raise UsageError(
            f"sweep={folder.name}: no trial of it is complete"
            + (f" where {where}" if where else "")
        )
    if front:
        _list_front(front, labels(settings.get("metric"), len(objectives)), as_json)
        return
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


def _list_front(front: Sequence[Row], names: Sequence[str], as_json: bool) -> None:
    """The runs that no other beats in all objectives, by the first one."""
    note_edits(front)
    searched = list(dict.fromkeys(name for row in front for name in row.params))
    columns = ["run", *(f"value_{place}" for place in range(len(names))), *searched]
    cells = [[row.get(column) for column in columns] for row in front]
    if as_json:
        runs = [dict(zip(columns, line, strict=True)) for line in cells]
        print_json({"objectives": list(names), "front": runs})
        return
    print_rows(["run", *names, *searched], cells, one_format(), "the Pareto front")
    say(f"{len(front)} on the Pareto front; caviar runs show {front[0].facts['run']} tells of one")
