"""The column to predict: its words are the classes."""

from __future__ import annotations

from collections import Counter
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
    classes: list[Any] = sorted(distinct)
    for read in (_booleans, _whole, _fractions):
        known = read(distinct)
        if known is not None:
            classes = sorted(known)
            break
    written = pa.array([str(one) for one in classes], TEXT)
    codes = pa.compute.index_in(words, value_set=written)  # type: ignore[attr-defined]
    return classes, codes.to_numpy(zero_copy_only=False).astype(np.int64)


def _booleans(texts: list[str]) -> list[bool] | None:
    return [t == "True" for t in texts] if set(texts) <= {"True", "False"} else None


def _whole(texts: list[str]) -> list[int] | None:
    # Of 64 bits, which is what a Parquet of predictions can hold.
    own = [t.lstrip("-").isdecimal() and t.isascii() and len(t) < 20 for t in texts]
    if not all(own):
        return None
    numbers = [int(text) for text in texts]
    kept = all(str(n) == t and -(2**63) <= n < 2**63 for n, t in zip(numbers, texts, strict=True))
    return numbers if kept else None


def _fractions(texts: list[str]) -> list[float] | None:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    same = all(str(n) == t for n, t in zip(numbers, texts, strict=True))
    return numbers if same and all(abs(n) < float("inf") for n in numbers) else None
