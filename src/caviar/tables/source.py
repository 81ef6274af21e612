"""A table's file, and what is said of its columns; without torch, so that a sweep can check it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from caviar.base.errors import usage_error
from caviar.tables.cells import words
from caviar.tables.format import SETTINGS as FORMAT
from caviar.tables.format import Format
from caviar.tables.kinds import dates_of, kind_of
from caviar.tables.names import check_distinct, column, meant
from caviar.tables.preprocessing import Column
from caviar.tables.reading import read_table
from caviar.tables.target import MULTILABEL, check_label, check_task, task_of

SETTINGS = ("path", "target", "categories", "ignore", "dates", "drop_duplicates", "task", *FORMAT)


class Source:
    """A file, its target and its features. Arguments: those of a data set that is a table.

    Raises:
        UsageError: a setting of the format that cannot be; the methods raise it of what the file has.
    """

    def __init__(
        self,
        path: str,
        target: Any,
        categories: Any = (),
        ignore: Any = (),
        dates: Sequence[Any] | Mapping[Any, str | None] = (),
        drop_duplicates: bool = False,
        task: str | None = None,
        **form: Any,
    ) -> None:
        self.path = path
        self.task = task
        self.format = Format.of(form)
        self._target = target
        self._categories, self._ignore, self._dates = categories, ignore, dates
        self.drop_duplicates = drop_duplicates
        self._said = repr((target, categories, ignore, dates, drop_duplicates, task))

    def key(self) -> Hashable:
        """What the rows and features depend on: the settings, and the file's time and size."""
        file = Path(self.path)
        state = file.stat() if file.exists() else None
        return file.resolve(), state and (state.st_mtime_ns, state.st_size), self._said, self.format

    @cached_property
    def names(self) -> list[str]:
        """Of all columns of the file."""
        return read_table(self.path, self.format).column_names

    @cached_property
    def targets(self) -> list[str]:
        """The columns to predict: one, or labels, of which a row has any number."""
        several = self._several(self._target)
        if not several:
            raise usage_error("data.target", "[]", "names no column")
        found = [meant(name, self.names, "data.target", self.path) for name in several]
        for name in found:
            if found.count(name) > 1:
                raise usage_error("data.target", name, "is named twice")
        return found

    @property
    def labels(self) -> bool:
        """Whether the target is a list of columns, each of which says whether a row has that label."""
        return self.task == MULTILABEL or self._several(self._target) != [self._target]

    @cached_property
    def target(self) -> str:
        """The column to predict; of labels their names."""
        return ", ".join(self.targets)

    @cached_property
    def ignore(self) -> list[str]:
        """Columns that are left out."""
        return self._named("ignore", self._ignore)

    @cached_property
    def categories(self) -> list[str]:
        """Columns that are to be taken as categories."""
        return self._named("categories", self._categories)

    def table(self) -> pa.Table:
        """The rows of the file that count."""
        table = read_table(self.path, self.format)
        if not self.drop_duplicates:
            return table
        first = np.unique(self.fingerprints(table), return_index=True)[1]
        return table.take(np.sort(first))

    def fingerprints(self, table: pa.Table) -> NDArray[np.uint64]:
        """A number a row, the same where all of its cells are that count."""
        import pandas as pd

        used = table.select([name for name in table.column_names if name not in self.ignore])
        return pd.util.hash_pandas_object(used.to_pandas(), index=False).to_numpy()

    def classes(self, table: pa.Table) -> Any:
        """The class of each row as it is written, None where it is missing."""
        return self._words(table, self.target)

    def task_of(self, table: pa.Table, val_fraction: float, test_fraction: float) -> str:
        """What the target is for, as `target.task_of` decides; of labels ``multilabel``.

        Raises:
            UsageError: no such task, or none of several columns.
        """
        if not self.labels:
            return task_of(self.classes(table), self.task, val_fraction, test_fraction)
        if self.task not in (None, MULTILABEL):
            check_task(self.task)
            why = f"is of one column, and data.target names {len(self.targets)}: multilabel"
            raise usage_error("data.task", self.task, why)
        return MULTILABEL

    def answers(self, table: pa.Table) -> NDArray[np.int64]:
        """For each row and label 0 or 1, shape ``(rows, labels)``.

        Raises:
            UsageError: a label has another value or is missing, or has one value only.
        """
        said = [check_label(self._words(table, name), name, self.path) for name in self.targets]
        return np.stack(said, axis=1)

    def kinds(self, table: pa.Table) -> list[Column]:
        """What kind of column each feature is.

        Raises:
            UsageError: one is of none, or there is none.
        """
        dates = dates_of(self._dates, self.names, self.path)
        names = [name for name in self.names if name not in (*self.targets, *self.ignore)]
        if not names:
            left = "those left out" if self.ignore else f"the target {self.target}"
            raise usage_error("data.path", self.path, f"has no column but {left}")
        check_distinct(names, f"data.path={self.path}")
        for name in dates:
            if name in self.categories or name in self.targets:
                other = "data.categories" if name in self.categories else "data.target"
                raise usage_error("data.dates", name, f"is in {other} too")
        return [
            kind_of(
                name, column(table, name), self.format, name in self.categories, dates.get(name)
            )
            for name in names
        ]

    def _named(self, key: str, chosen: Any) -> list[str]:
        several = self._several(chosen)
        return [meant(name, self.names, f"data.{key}", self.path) for name in several]

    def _words(self, table: pa.Table, name: str) -> Any:
        return words(column(table, name, f"data.path={self.path}"), self.format)

    @staticmethod
    def _several(chosen: Any) -> Any:
        return [chosen] if isinstance(chosen, str | int | float | bool) else chosen or ()
