"""Any CSV or Parquet file with a column to predict."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from caviar.lightning.in_memory.data import InMemoryData, Parts, parts_of
from caviar.tables.features import learn
from caviar.tables.preprocessing import Preprocessing
from caviar.tables.reading import forget
from caviar.tables.source import SETTINGS, Source
from caviar.tables.target import MULTILABEL, check_number, check_target, in_order


class Table(InMemoryData):
    """A table: numbers are standardised, categories one-hot, missing values imputed and flagged.

    What that takes is learnt from the training part alone: see `caviar.tables.preprocessing`.

    Args:
        path: a file: see `caviar.tables.reading`.
        target: the column to predict, of which every distinct value is a class; or a list of columns of
            0 and 1, which are labels.
        categories: columns of numbers that are codes, to be taken as categories; columns of text
            and booleans are so without being named.
        ignore: columns to leave out (a row's id).
        dates: columns of text that are dates, or a mapping: column -> how they are written
            (``%d.%m.%Y``; null: ISO 8601).
        max_categories: a category's most frequent values get a feature each, so many at most.
        drop_duplicates: leave out all but the first of rows that are the same.
        task: ``regression`` (the target is a number), ``classification`` or ``multilabel``; None: the last
            of a list, the first where the target has numbers alone, of which some stand in too few rows
            to be classes.
        sep, encoding, decimal, thousands, na_values, words: see `caviar.tables.format.Format`.
        settings: those of `InMemoryData`.

    Raises:
        UsageError: a setting that cannot be; `load`: the table cannot be learnt from.
    """

    def __init__(
        self, path: str, target: Any, *, max_categories: int = 100, **settings: Any
    ) -> None:
        of_source = {key: settings.pop(key) for key in SETTINGS if key in settings}
        super().__init__(**settings)
        self.max_categories = max_categories
        self.source = Source(path, target, **of_source)

    def key(self) -> Hashable:
        return self.source.key(), self.max_categories

    def load(self) -> Parts:
        source = self.source
        table = source.table()
        kinds = source.kinds(table)
        said = (source.target, source.path, *self.fractions)
        number: list[float] | None = None
        task = source.task_of(table, *self.fractions)
        if task == MULTILABEL:
            classes, targets = source.targets, source.answers(table)
            split = self.split(np.zeros(len(targets), np.int64))
        elif task == "regression":
            values, classes = check_number(source.classes(table), *said), []
            split = self.split(np.zeros(len(values), np.int64))
            train = values[split.train]
            number = [float(train.mean()), float(train.std()) or 1.0]
            targets = (values - number[0]) / number[1]
        else:
            words = source.classes(table)
            check_target(words, *said)
            classes, targets = in_order(words)
            split = self.split(targets)
        columns = learn(table.take(split.train), kinds, self.max_categories, source.format)
        labels, left_out = task == MULTILABEL, list(source.ignore)
        preprocessing = Preprocessing(
            columns, classes, source.target, source.format, left_out, number, labels
        )
        parts = parts_of(preprocessing.features(table), targets, split, preprocessing)
        if not self.folds:  # the other folds need it again
            forget()
        return parts
