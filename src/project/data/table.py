"""Any CSV or Parquet file with a column to predict."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from caviar import usage_error
from project.data.base import InMemoryData, Parts, parts_of
from project.data.preprocessing import Preprocessing, learn
from project.data.reading import check_table, check_target, column, plain, read_table


class Table(InMemoryData):
    """A table: numbers are standardised, categories one-hot, missing values imputed and flagged.

    What that takes is learnt from the training part alone: see `project.data.preprocessing`.

    Args:
        path: a ``.csv`` or ``.parquet`` file.
        target: the column to predict; every distinct value is a class.
        categories: columns of numbers that are codes, to be taken as categories; columns of text
            and booleans are so without being named.
        ignore: columns to leave out (a row's id).
        max_categories: a category's most frequent values get a feature each, so many at most.
        settings: those of `InMemoryData`.

    Raises:
        UsageError: the table cannot be learnt from: see `project.data.reading`.
    """

    def __init__(
        self,
        path: str,
        target: str,
        categories: Sequence[str] = (),
        ignore: Sequence[str] = (),
        max_categories: int = 100,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        check_table(path, target, *self.fractions)
        self.path = Path(path)
        self.target = target
        self.categories = tuple(categories)
        self.ignore = tuple(ignore)
        self.max_categories = max_categories

    def key(self) -> Hashable:
        # The file's time and size: a table that was edited is another one.
        file = self.path.stat()
        return (
            (self.path.resolve(), file.st_mtime_ns, file.st_size),
            (self.target, self.categories, self.ignore, self.max_categories),
        )

    def load(self) -> Parts:
        frame = read_table(self.path)
        check_target(column(frame, self.target), self.path, *self.fractions)
        names = self._feature_names(frame)
        text = [name for name in names if self._is_category(column(frame, name))]
        if text:
            # Read again as written: what a category is must not hang on what pandas guesses.
            frame[text] = read_table(self.path, columns=text, text=text)
        target = column(frame, self.target).to_numpy()
        classes = np.unique(target)
        labels = np.searchsorted(classes, target)
        split = self.split(labels)
        columns = learn(frame.iloc[split.train], names, text, self.max_categories)
        preprocessing = Preprocessing(columns, [plain(c) for c in classes], self.target)
        return parts_of(preprocessing.features(frame), labels, split, preprocessing)

    def _is_category(self, series: pd.Series) -> bool:
        number = is_numeric_dtype(series) and not is_bool_dtype(series)
        return not number or series.name in self.categories

    def _feature_names(self, frame: pd.DataFrame) -> list[str]:
        names = [str(name) for name in frame.columns]
        for key, chosen in (("categories", self.categories), ("ignore", self.ignore)):
            for name in chosen:
                if name not in names:
                    raise usage_error(f"data.{key}", name, f"no such column in {self.path}", names)
        features = [name for name in names if name != self.target and name not in self.ignore]
        if not features:
            raise usage_error("data.path", self.path, "has no column but those left out")
        return features
