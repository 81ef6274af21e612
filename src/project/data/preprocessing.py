"""From a table's columns to numbers, by what the training part taught; plain data, no pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from caviar import UsageError

if TYPE_CHECKING:
    import pandas as pd

FILE = "preprocessing.json"
"""Its name in the run folder."""


@dataclass(frozen=True)
class Column:
    """How one column becomes features.

    A number gives ``(value - mean) / scale``, and 0 where it is missing or infinite. A category
    gives a 0 or 1 for each of ``values``, and all 0 where it is missing or another. With ``flag``
    there is one feature more: 1 where the value is missing.

    Attributes:
        values: a category's values, as text; None for a number.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    values: list[str] | None = None
    flag: bool = False

    @property
    def size(self) -> int:
        """Features that the column gives."""
        return (1 if self.values is None else len(self.values)) + self.flag


@dataclass(frozen=True)
class Preprocessing:
    """What stands between a table and the network.

    Attributes:
        columns: the feature columns, in order.
        classes: the target's values in the order of the logits: text, numbers or booleans.
        target: the target column's name.
    """

    columns: list[Column]
    classes: list[Any]
    target: str = "target"

    @property
    def num_features(self) -> int:
        """Length of a sample's vector of features."""
        return sum(column.size for column in self.columns)

    def features(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """The features of ``frame``, shape ``(rows, num_features)``.

        Raises:
            UsageError: a column is not there, or a column of numbers has text in it.
        """
        parts = [_features(column, frame) for column in self.columns]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(frame), 0), np.float32)

    def unknown_columns(self, frame: pd.DataFrame) -> list[str]:
        """Columns of categories of which no value in ``frame`` was there in training."""
        found = []
        for column in self.columns:
            if column.values is not None and column.name in frame:
                words = _words(cast("pd.Series", frame[column.name]).dropna())
                if len(words) and not words.isin(column.values).any():
                    found.append(column.name)
        return found

    def text_columns(self) -> list[str]:
        """The columns of categories, which are to be read as text."""
        return [column.name for column in self.columns if column.values is not None]

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` as JSON."""
        from caviar.runs.files import write_atomic

        name, text = self.as_file()
        write_atomic(folder / name, text)

    def as_file(self) -> tuple[str, str]:
        """The file's name in the run folder, and what it holds."""
        return FILE, json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """Read what `save` wrote.

        Raises:
            UsageError: there is none, or it is not readable.
        """
        try:
            data = json.loads((folder / FILE).read_text("utf-8"))
            columns = [Column(**column) for column in data.pop("columns")]
            return cls(columns=columns, **data)
        except FileNotFoundError:
            raise UsageError(f"run={folder}: it has no {FILE}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"run={folder}: {FILE} is not readable ({error})") from None


def learn(frame: pd.DataFrame, names: list[str], texts: list[str], most: int) -> list[Column]:
    """Learn from the training part ``frame`` how each column of ``names`` becomes features.

    Args:
        texts: those of ``names`` that hold categories.
        most: at most so many values of a category, the most frequent, get a feature.
    """
    return [_learn(cast("pd.Series", frame[name]), name in texts, most) for name in names]


def _learn(series: pd.Series, text: bool, most: int) -> Column:
    name = str(series.name)
    if text:
        counts = _words(series.dropna()).value_counts()
        # By count, then by name: the order of equal counts must not hang on the order of rows.
        ranked = sorted(counts.index, key=lambda value: (-counts[value], value))[:most]
        return Column(name, values=sorted(ranked), flag=bool(series.isna().any()))
    numbers = _numbers(series)
    known = numbers[~np.isnan(numbers)]
    mean = float(known.mean()) if len(known) else 0.0
    with np.errstate(over="ignore"):
        scale = float(known.std()) if len(known) else 1.0
    if not np.isfinite(scale):
        largest = np.abs(known).max()
        raise UsageError(f"data: column {name} holds {largest:.3g}: too large to be scaled")
    return Column(name, mean, scale if scale > 0 else 1.0, flag=len(known) < len(numbers))


def _features(column: Column, frame: pd.DataFrame) -> NDArray[np.float32]:
    if column.name not in frame:
        raise UsageError(f"data: no column {column.name}, which the run was trained on")
    series = cast("pd.Series", frame[column.name])
    features = np.zeros((len(frame), column.size), np.float32)
    if column.values is None:
        numbers = _numbers(series)
        missing = np.isnan(numbers)
        features[:, 0] = np.where(missing, 0.0, (numbers - column.mean) / column.scale)
    else:
        missing = series.isna().to_numpy()
        text = _words(series).to_numpy()
        for index, value in enumerate(column.values):
            features[:, index] = (text == value) & ~missing
    if column.flag:
        features[:, -1] = missing
    return features


def _words(series: pd.Series) -> pd.Series:
    """A category's values as text; a whole number's has no point, which a missing value beside it gives.

    A table reads 1 as 1.0 where another row has nothing there: that is the same category.
    """
    return series.astype(str).str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)


def _numbers(series: pd.Series) -> NDArray[np.float64]:
    try:
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        raise UsageError(f"data: column {series.name} has to be numbers, but holds text") from None
    return np.where(np.isfinite(numbers), numbers, np.nan)
