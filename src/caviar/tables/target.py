"""The column to predict: its words are the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from caviar.base.errors import usage_error
from caviar.tables.cells import TEXT, numbers
from caviar.tables.format import Format
from caviar.tables.names import shown
from caviar.tables.split import needed

_BOOLEANS = {"True": True, "False": False}

MULTILABEL = "multilabel"
TASKS = ("classification", "regression", MULTILABEL)


def check_target(
    words: Any, name: str, path: str | Path, val_fraction: float, test_fraction: float
) -> None:
    """Raise UsageError unless the target's ``words`` are whole, and each class can be split."""
    if not len(words):
        raise usage_error("data.path", path, "the table has no rows")
    if words.null_count:
        raise usage_error("data.target", name, f"is missing in {words.null_count} rows of {path}")
    counts = Counter(words.to_pylist()).most_common()
    if len(counts) == 1:
        raise usage_error("data.target", name, f"has one class only ({shown(counts[0][0])})")
    fewest = needed(val_fraction, test_fraction)
    rarest, rows = counts[-1]
    if rows < fewest:
        why = f"class {shown(rarest)} has {rows} rows, but {fewest} are needed to split it"
        raise usage_error("data.target", name, why)


def task_of(words: Any, asked: str | None, val_fraction: float, test_fraction: float) -> str:
    """``regression`` of a target of numbers, of which some stand in too few rows to be classes.

    Args:
        asked: one of `TASKS`, which is then the answer; None: decided here.

    Raises:
        UsageError: no such task.
    """
    check_task(asked)
    if asked is not None or not len(words) or words.null_count:
        return asked or TASKS[0]
    rarest = min(Counter(words.to_pylist()).values())
    if rarest >= needed(val_fraction, test_fraction):
        return TASKS[0]
    return TASKS[0] if numbers(words, Format())[1].any() else TASKS[1]


def check_task(asked: str | None) -> None:
    """Raise UsageError unless ``asked`` is one of `TASKS`, or None."""
    if asked is not None and asked not in TASKS:
        raise usage_error("data.task", asked, "no such task", TASKS)


def check_label(words: Any, name: str, path: str | Path) -> NDArray[np.int64]:
    """Whether each row has a label, 0 or 1, shape ``(rows,)``: written so, or as False and True.

    Raises:
        UsageError: it is written otherwise or missing in a row, or all rows have the same.
    """
    if not len(words):
        raise usage_error("data.path", path, "the table has no rows")
    known = {"0": 0, "1": 1, "False": 0, "True": 1, "0.0": 0, "1.0": 1}
    texts = words.to_pylist()
    for row, text in enumerate(texts, start=1):
        if text not in known:
            has = "nothing" if text is None else repr(text)
            why = f"row {row} of {path} has {has}: a label is 0 or 1"
            raise usage_error("data.target", name, why)
    found = np.array([known[text] for text in texts])
    if np.ptp(found) == 0:
        raise usage_error("data.target", name, f"has one value only ({found[0]})")
    return found


def check_number(
    words: Any, name: str, path: str | Path, val_fraction: float, test_fraction: float
) -> NDArray[np.float64]:
    """The target's numbers, shape ``(rows,)``.

    Raises:
        UsageError: one is none or not finite, all are the same, or there are too few to be split.
    """
    found = numbers(words, Format())[0]
    fewest = needed(val_fraction, test_fraction)
    if len(found) < fewest:
        raise usage_error("data.path", path, f"has {len(found)} rows, but {fewest} are needed")
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        why = f"row {row + 1} of {path} has {words[row].as_py()!r}, and no number"
        raise usage_error("data.target", name, why)
    if np.ptp(found) == 0:
        raise usage_error("data.target", name, f"has one value only ({found[0]:g})")
    return found


def in_order(words: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """The classes, sorted, and each row's place among them.

    A class is the text that was written. Where each of them is a number's own text (``1``, not ``01``)
    they are numbers, or booleans: those are written as the same text again.
    """
    distinct = words.unique().to_pylist()
    known = (_own_text(read, distinct) for read in (_BOOLEANS.__getitem__, int, float))
    classes = sorted(next((found for found in known if found is not None), distinct))
    written = pa.array([str(one) for one in classes], TEXT)
    codes = pa.compute.index_in(words, value_set=written)  # type: ignore[attr-defined]
    return classes, codes.to_numpy(zero_copy_only=False).astype(np.int64)


def _own_text(read: Callable[[str], Any], texts: list[str]) -> list[Any] | None:
    """What is read of texts, where each is its own text; None else, and for what no Parquet holds."""
    try:
        found = [read(text) for text in texts]
    except (KeyError, ValueError):
        return None
    kept = all(-(2**63) <= n < 2**63 if read is int else abs(n) < np.inf for n in found)
    return found if kept and [str(n) for n in found] == texts else None
