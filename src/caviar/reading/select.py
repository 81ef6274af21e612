"""Which runs are shown, in which order, with which columns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar

from caviar.base.direction import directions, no_best, sign
from caviar.base.errors import usage_error
from caviar.base.objectives import front, signed
from caviar.reading.compare import scored
from caviar.reading.index import add_configs, config_mentions
from caviar.reading.rows import Row, Rows
from caviar.reading.where import UnknownColumnError, parse, resolve
from caviar.runs.sweep_file import read_sweep_file

Found = TypeVar("Found")


def matching(rows: Rows, where: str | None) -> list[Row]:
    """The runs of which a condition holds; all, where there is none.

    Raises:
        UsageError: the condition cannot be read, or names no column.
    """
    if where is None:
        return rows.rows
    condition = _with_configs(rows, lambda: parse(where, rows.columns()))
    found = [row for row in rows.rows if condition(row.get)]
    condition.check()
    return found


def in_order(shown: list[Row], rows: Rows, sort: str | None) -> list[Row]:
    """Runs by a column (``-COLUMN``: descending), ``best`` first, or, with None, newest first.

    A run that has no value there comes last, whichever the direction.

    Raises:
        UsageError: no such column; or ``best``, where the sweeps do not agree on what is better. Runs of
            several objectives, which have no best one, come after the others: of each sweep first
            those on its Pareto front, each group by the first objective.
    """
    if sort is None:
        return sorted(shown, key=_age, reverse=True)
    if sort == "best":
        return _best_first(shown)
    column = _with_configs(rows, lambda: resolve("sort", sort.removeprefix("-"), rows.columns()))
    values = [(row.get(column), row) for row in shown]
    # NaN is not equal to itself, and has no place in an order.
    known = [(value, row) for value, row in values if value is not None and value == value]
    known.sort(key=lambda pair: _place(pair[0]), reverse=sort.startswith("-"))
    return [row for _, row in known] + [row for v, row in values if v is None or v != v]


def columns_named(rows: Rows, text: str) -> list[str]:
    """The columns in ``run,value,lr``.

    Raises:
        UsageError: there is no such column, or none is named.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise usage_error("columns", text, "names no column")
    found = _with_configs(rows, lambda: [resolve("columns", n, rows.columns()) for n in names])
    return list(dict.fromkeys(found))


def _age(row: Row) -> tuple[str, int]:
    return str(row.facts["started"] or ""), row.facts["number"] or 0


def _place(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _best_first(shown: list[Row]) -> list[Row]:
    sweeps = {row.folder.parent.parent for row in shown if row.facts["sweep"] is not None}
    settings = {folder: read_sweep_file(folder) for folder in sorted(sweeps)}
    for folder, held in settings.items():
        if not directions(held):
            raise usage_error("sort", "best", f"{folder.name}: {no_best(held)}; name a column")
    signs = {sign(held) for held in settings.values()} - {None}
    if len(signs) > 1:
        raise usage_error("sort", "best", "some sweeps minimize, others maximize; name a column")
    direction = next(iter(signs), 1) or 1
    ranked = sorted(filter(scored, shown), key=lambda row: direction * row.facts["value"])
    for folder, held in settings.items():
        if sign(held) is None:
            mine = [row for row in shown if row.folder.parent.parent == folder]
            ranked += chain(*by_front(mine, directions(held)))
    placed = set(map(id, ranked))
    return ranked + [row for row in shown if id(row) not in placed]


def by_front(rows: list[Row], directions: list[str]) -> tuple[list[Row], list[Row]]:
    """The complete runs of a sweep with several objectives, by the first one: those on its Pareto front,
    which no other beats in all, and the others.
    """
    found: list[tuple[list[float], Row]] = []
    for row in rows:
        values = [row.facts.get(f"value_{place}") for place in range(len(directions))]
        numbers = [v for v in values if isinstance(v, int | float) and v == v]
        if row.facts["state"] == "COMPLETE" and len(numbers) == len(values):
            found.append((signed(numbers, directions), row))
    found.sort(key=lambda pair: pair[0])
    best = set(front([losses for losses, _ in found]))
    ordered = [(place in best, row) for place, (_, row) in enumerate(found)]
    return [row for on, row in ordered if on], [row for on, row in ordered if not on]


def _with_configs(rows: Rows, look: Callable[[], Found]) -> Found:
    """Look a column up; where it is none so far, once more with every key of the configs."""
    try:
        return look()
    except UnknownColumnError as error:
        # Ten thousand configs take a while to parse, and a moment to search for a slip's letters.
        key = error.name.rpartition(".")[2]
        if not any(config_mentions(row.folder, key) for row in rows.rows):
            raise
    add_configs(rows)
    return look()
