"""A table's columns as features: learnt from the training part, the same for every other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from caviar.base.errors import UsageError
from caviar.tables.cells import TEXT, decoded, numbers, whole, words
from caviar.tables.format import Format
from caviar.tables.names import column, shown
from caviar.tables.preprocessing import Column, Preprocessing
from caviar.tables.reading import as_table

if TYPE_CHECKING:
    import pandas as pd

    Frame: TypeAlias = pd.DataFrame | pa.Table

pc: Any = pyarrow.compute

LARGEST = float(np.finfo(np.float32).max)
FARTHEST = 1e12
"""A number farther from the mean than so many standard deviations counts as missing: it is no
measurement, and what a network makes of it is soon none either (float32 ends at 3e38)."""


def learn(frame: Frame, kinds: list[Column], most: int, form: Format | None = None) -> list[Column]:
    """Learn from the training part ``frame`` how each column of ``kinds`` becomes features.

    Args:
        kinds: the columns, with nothing learnt of them: see `caviar.tables.kinds`.
        most: at most so many values of a category, the most frequent, get a feature.

    Raises:
        UsageError: a column has numbers that are too large only.
    """
    table = as_table(frame)
    return [_learn(one, column(table, one.name), most, form or Format()) for one in kinds]


def features(columns: list[Column], frame: Frame, form: Format | None) -> NDArray[np.float32]:
    """See `Preprocessing.features`."""
    table, place = as_table(frame), 0
    found = np.zeros((table.num_rows, sum(one.size for one in columns)), np.float32)
    for one in columns:
        _fill(found[:, place : place + one.size], one, table, form or Format())
        place += one.size
    return found


def unknown_columns(learnt: Preprocessing, frame: Frame) -> list[str]:
    """Columns of categories of which no value in ``frame`` was there in training."""
    table, found = as_table(frame), []
    for one in learnt.columns:
        if one.values is not None and one.name in table.column_names:
            met = words(column(table, one.name, "data"), learnt.format or Format())
            if met.null_count < len(met) and (_codes(met, one.values) < 0).all():
                found.append(one.name)
    return found


def too_large(learnt: Preprocessing, frame: Frame) -> dict[str, list[int]]:
    """Columns of numbers -> rows (from 0) of those that count as missing because they are too large."""
    table, found = as_table(frame), {}
    for one in learnt.columns:
        if one.values is None:
            known = _numbers(one, column(table, one.name, "data"), learnt.format or Format())
            rows = np.flatnonzero(np.isnan(_standardised(one, known)) & ~np.isnan(known))
            if len(rows):
                found[one.name] = rows.tolist()
    return found


def _learn(one: Column, cells: Any, most: int, form: Format) -> Column:
    if one.values is not None:
        met = words(cells, form)
        counts = met.drop_null().to_pandas().value_counts().to_dict()
        # By count, then by name: the order of equal counts must not hang on the order of rows.
        ranked = sorted(counts, key=lambda value: (-counts[value], value))[:most]
        return replace(one, values=sorted(ranked), flag=met.null_count > 0)
    found = _numbers(one, cells, form)
    known = found[np.abs(found) <= LARGEST]
    if not len(known) and not np.isnan(found).all():
        largest = np.nanmax(np.abs(found))
        raise UsageError(f"data: column {one.name} holds {largest:.3g}: too large to be scaled")
    flag = len(known) < len(found)
    if not len(known):
        return replace(one, flag=flag)
    if np.ptp(known) == 0:
        # Computed, the mean may be a digit off what all of them are, and that be the deviation.
        return replace(one, mean=float(known[0]), flag=flag)
    mean = float(known.mean())
    away = known - mean
    # In units of the largest one: its square may be too small for a number.
    most_away = float(np.abs(away).max())
    scale = most_away * float(np.sqrt(np.mean((away / most_away) ** 2)))
    return replace(one, mean=mean, scale=scale, flag=flag)


def _fill(features: NDArray[np.float32], one: Column, table: pa.Table, form: Format) -> None:
    cells = column(table, one.name, "data")
    if one.values is None:
        values = _standardised(one, _numbers(one, cells, form))
        missing = np.isnan(values)
        features[:, 0] = np.where(missing, 0.0, values)
    else:
        met = words(cells, form)
        missing = met.is_null().to_numpy(zero_copy_only=False)
        codes = _codes(met, one.values)
        known = np.flatnonzero(codes >= 0)
        features[known, codes[known]] = 1
    if one.flag:
        features[:, -1] = missing


def _standardised(one: Column, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """In standard deviations from the mean, shape ``(rows,)``; NaN where it is to count as missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = (numbers - one.mean) / one.scale
    kept = (np.abs(numbers) <= LARGEST) & (np.abs(values) <= FARTHEST)
    return np.where(kept, values, np.nan)


def _codes(met: Any, values: list[str]) -> NDArray[np.int64]:
    """Which of ``values`` each word is; -1 for none of them.

    Some write 1 as 1.0 where another row has nothing there: where the one is unknown, the other is meant.
    """
    known = pa.array(values, TEXT)
    found = pc.index_in(met, value_set=known).fill_null(-1).to_numpy(zero_copy_only=False)
    if (found < 0).any():
        other = pc.index_in(whole(met), value_set=whole(known)).fill_null(-1)
        found = np.where(found < 0, other.to_numpy(zero_copy_only=False), found)
    return np.asarray(found, np.int64)


def _numbers(one: Column, cells: Any, form: Format) -> NDArray[np.float64]:
    found, wrong = numbers(cells, form, one.unit, one.time)
    if wrong.any():
        row = int(wrong.argmax())
        what = "a date or a time" if one.time else f"a number with {one.unit}" if one.unit else ""
        why = f"has to be numbers, but holds text ({str(decoded(cells)[row])!r} in row {row + 1}"
        raise UsageError(f"data: column {shown(one.name)} {why}{', no ' + what if what else ''})")
    return found
