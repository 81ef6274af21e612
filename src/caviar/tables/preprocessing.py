"""From a table's columns to numbers, by what the training part taught; plain data, no pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caviar.base.errors import UsageError
from caviar.runs.fields import (
    FLAG,
    MAPPING,
    NUMBER,
    TEXT,
    WHOLE,
    check_fields,
    each,
    either,
    optional,
)
from caviar.runs.files import read_json
from caviar.tables.format import Format

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FILE = "preprocessing.json"
"""Its name in the run folder."""

SCHEMA = 2
"""Version of the file. 1 had no ``format``: the words of `cells.NO_NUMBER` were missing everywhere."""


@dataclass(frozen=True)
class Column:
    """How one column becomes features.

    A number gives ``(value - mean) / scale``, and 0 where it is missing, infinite, beyond float32's
    range or `features.FARTHEST` away. A category gives a 0 or 1 for each of ``values``, and all 0
    where it is missing or another. With ``flag`` there is one feature more: 1 where the value is
    missing.

    Attributes:
        values: a category's values, as text; None for a number.
        unit, time: how a number is written: see `caviar.tables.cells.numbers`.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    values: list[str] | None = None
    flag: bool = False
    unit: str | None = None
    time: str | None = None

    @property
    def size(self) -> int:
        """Features that the column gives."""
        return (1 if self.values is None else len(self.values)) + self.flag


class Described:
    """What data say of themselves by their ``preprocessing``."""

    preprocessing: Preprocessing

    @property
    def classes(self) -> list[Any]:
        """What each class, or label, is called."""
        return self.preprocessing.classes

    @property
    def num_classes(self) -> int:
        """How many there are."""
        return len(self.classes)

    @property
    def labels(self) -> bool:
        """Whether the targets are labels, any number of them a row."""
        return self.preprocessing.labels

    @property
    def target_scale(self) -> tuple[float, ...] | None:
        """Mean and standard deviation of a target that is a number; None of classes."""
        number = self.preprocessing.number
        return None if number is None else tuple(number)


_COLUMN = {
    "name": TEXT,
    "mean": NUMBER,
    "scale": NUMBER,
    "values": optional(each(TEXT)),
    "flag": FLAG,
    "unit": optional(TEXT),
    "time": optional(TEXT),
}
_FIELDS = {
    "columns": each(MAPPING),
    "classes": each(either(TEXT, NUMBER, FLAG)),
    "target": TEXT,
    "schema": WHOLE,
    "format": optional(MAPPING),
    "left_out": each(TEXT),
    "number": optional(each(NUMBER)),
    "labels": FLAG,
}
"""What the file must hold."""


@dataclass(frozen=True)
class Preprocessing:
    """What stands between a table and the network.

    Attributes:
        columns: the feature columns, in order.
        classes: the target's values in the order of the logits: text, numbers or booleans.
        target: the target column's name.
        format: how the file was read; None where there was none.
        left_out: columns of the file that are no features.
        number: mean and standard deviation of a target that is a number, and has no classes; else None.
        labels: whether a row may have any number of the classes: each is a column of 0 and 1.
    """

    columns: list[Column]
    classes: list[Any]
    target: str = "target"
    format: Format | None = None
    left_out: list[str] = field(default_factory=list)
    number: list[float] | None = None
    labels: bool = False

    @property
    def num_features(self) -> int:
        """Length of a sample's vector of features."""
        return sum(column.size for column in self.columns)

    def features(self, frame: pd.DataFrame | pa.Table) -> NDArray[np.float32]:
        """The features of ``frame``, shape ``(rows, num_features)``.

        Raises:
            UsageError: a column is not there, or a column of numbers has text in it.
        """
        from caviar.tables.features import features

        return features(self.columns, frame, self.format)

    def same_as(self, other: Preprocessing) -> bool:
        """Whether the same was learnt, but for the last digits of means and scales."""

        def parts(one: Preprocessing) -> tuple[Any, list[float]]:
            kinds = [replace(column, mean=0, scale=1) for column in one.columns]
            learnt = [number for column in one.columns for number in (column.mean, column.scale)]
            exact = (one.classes, one.target, one.labels, kinds, one.number is None)
            return exact, [*learnt, *(one.number or ())]

        (exact, learnt), (others_exact, others_learnt) = parts(self), parts(other)
        return exact == others_exact and np.allclose(learnt, others_learnt, rtol=1e-6, atol=0)

    def summary(self) -> dict[str, str]:
        """In short, what was decided of a table that was read: ``caviar runs show`` shows it."""
        from caviar.tables.names import listed

        if self.format is None:
            return {}
        kinds: dict[str, list[str]] = {}
        for one in self.columns:
            if one.values is not None:
                kinds.setdefault("categories", []).append(f"{one.name} ({len(one.values)})")
            else:
                kinds.setdefault("times" if one.time else "numbers", []).append(one.name)
        summary = {kind: listed(names, 20) for kind, names in kinds.items()}
        if self.number:
            mean, deviation = self.number
            summary["target"] = f"{self.target}, a number: {mean:.4g} ± {deviation:.4g}"
        if self.labels:
            summary["labels"] = listed(self.classes, 20)
        if self.left_out:
            summary["left out"] = listed(self.left_out, 20)
        if settings := self.format.in_words():
            summary["read with"] = settings
        return summary

    def files(self) -> dict[str, str]:
        """What goes into the run folder for `read`: the file's name -> its text."""
        summary = {"summary": self.summary()} if self.format else {}
        return {FILE: json.dumps({"schema": SCHEMA, **summary, **asdict(self)}) + "\n"}

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """Read what `files` gave.

        Raises:
            UsageError: there is none, or it is not readable.
        """
        try:
            data = read_json(folder / FILE)
            check_fields(FILE, data, _FIELDS, ("columns", "classes"))
            for column in data["columns"]:
                check_fields(FILE, column, _COLUMN, ("name",))
            schema, _ = data.pop("schema", 1), data.pop("summary", None)
            if schema > SCHEMA:
                raise UsageError(f"a newer version of this project wrote {FILE}")
            columns = [Column(**column) for column in data.pop("columns")]
            form = data.pop("format", None)
            if schema == 1:
                from caviar.tables.cells import NO_NUMBER

                form = {"na_values": NO_NUMBER}
            return cls(columns=columns, format=Format.of(form) if form else None, **data)
        except FileNotFoundError:
            raise UsageError(f"run={folder}: it has no {FILE}") from None
        except (UsageError, TypeError, AttributeError) as error:
            raise UsageError(f"run={folder}: {FILE} is not readable ({error})") from None
