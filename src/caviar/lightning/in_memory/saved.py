"""What a run's folder alone says of the data that it was trained on: enough to predict new rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from caviar.base.errors import usage_error
from caviar.base.plain import echo
from caviar.tables.preprocessing import Described, Preprocessing

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

ROWS = 8192
"""Rows that go through the network at a time."""


@dataclass(frozen=True)
class SavedData(Described):
    """In the place of the data of a run, where they are not read."""

    preprocessing: Preprocessing

    @property
    def num_features(self) -> int:
        """Numbers a sample."""
        return self.preprocessing.num_features

    def class_weights(self, asked: Any) -> None:
        """None: predictions have no loss."""

    def new_rows(self, path: str, **written: Any) -> Iterator[Tensor]:
        """Batches of the features of the rows of a CSV or Parquet file, shape ``(rows, num_features)``.

        Args:
            written: how the file is written, where that is not as the run's own was: see `Format`.

        Raises:
            UsageError: the file cannot be read, or a column is missing.
        """
        import torch

        from caviar.tables.format import Format
        from caviar.tables.reading import read_table

        as_trained = self.preprocessing.format or Format()
        form = Format.of({**asdict(as_trained), **written}, prefix="")
        preprocessing = replace(self.preprocessing, format=form)
        frame = read_table(path, form, key="data")
        if not len(frame):
            raise usage_error("data", path, "the table has no rows")
        for line in _odd(preprocessing, frame):
            echo(f"warning: {line}", file=sys.stderr)
        yield from torch.from_numpy(preprocessing.features(frame)).split(ROWS)


def _odd(preprocessing: Preprocessing, frame: pa.Table) -> list[str]:
    """Lines about what is not as it was in training."""
    from caviar.tables.features import too_large, unknown_columns
    from caviar.tables.names import shown

    lines = []
    for name in unknown_columns(preprocessing, frame):
        lines.append(f"column {shown(name)}: training knew none of its values")
    for name, rows in too_large(preprocessing, frame).items():
        value = frame.column(name)[rows[0]]
        more = f", and {len(rows) - 1} more," if len(rows) > 1 else ""
        what = f"{value} in row {rows[0] + 1}{more} is too large, and counts as missing"
        lines.append(f"column {shown(name)}: {what}")
    return lines
