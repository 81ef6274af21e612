"""Probabilities and classes for new rows, from a saved run alone."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar import UsageError, usage_error
from caviar.base.plain import echo
from project.arguments import NEEDED, command

if TYPE_CHECKING:
    import pyarrow as pa

    from project.data.preprocessing import Preprocessing

USAGE = """python -m project.predict run=PATH data=NEW.csv [out=predictions.csv] [SETTING=VALUE …]

run   a run's folder (a trial's folder is one)
data  CSV or Parquet with the columns that the run was trained on; a target is not needed
out   CSV or Parquet: class, then probability_CLASS for each class, a row for each row of data
sep, encoding, decimal, thousands, na_values, words
      how data is written, where it is not as the table was that the run was trained on"""

ENDINGS = (".csv", ".parquet")

ROWS = 8192
"""Rows that go through the network at a time."""


def predict(run: str, data: str, out: str, **written: Any) -> None:
    """Write the predictions of the run in folder ``run`` for the table ``data`` to ``out``.

    Args:
        written: how ``data`` is written, where that is not as the run's own table was: see `Format`.

    Raises:
        UsageError: the run or the table cannot be read, a column is missing, or ``out`` exists.
    """
    target = Path(out)
    if target.suffix.lower() not in ENDINGS:
        raise usage_error("out", out, "not a .csv or .parquet file")
    if target.exists():
        raise usage_error("out", out, "exists already, and is not written over")
    if not target.parent.is_dir():
        raise usage_error("out", out, "its folder does not exist")

    import numpy as np
    import pandas as pd
    import torch

    from project.data.format import Format
    from project.data.reading import read_table
    from project.saved import open_run

    saved = open_run(run)
    as_trained = saved.preprocessing.format or Format()
    given = {key: value for key, value in written.items() if value is not None}
    form = Format.of({**asdict(as_trained), **given}, prefix="")
    preprocessing = replace(saved.preprocessing, format=form)
    frame = read_table(data, form, key="data")
    if not len(frame):
        raise usage_error("data", data, "the table has no rows")
    for line in _odd(preprocessing, frame):
        echo(f"warning: {line}", file=sys.stderr)
    features = torch.from_numpy(preprocessing.features(frame))
    with torch.no_grad():
        steps = [saved.module.predict_step(rows) for rows in features.split(ROWS)]
    probabilities = torch.cat([step["probabilities"] for step in steps]).numpy()
    likeliest = torch.cat([step["classes"] for step in steps])
    unknown = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(unknown):
        raise UsageError(f"data={data}: row {unknown[0] + 1}: its probabilities are no numbers")
    classes = saved.preprocessing.classes
    table = pd.DataFrame(
        {
            "class": [classes[index] for index in likeliest.tolist()],
            **{f"probability_{name}": probabilities[:, i] for i, name in enumerate(classes)},
        }
    )
    if target.suffix.lower() == ".csv":
        table.to_csv(target, index=False)
    else:
        table.to_parquet(target, index=False)
    echo(f"{len(table)} predictions: {target}")


def _odd(preprocessing: Preprocessing, frame: pa.Table) -> list[str]:
    """Lines about what is not as it was in training."""
    from project.data.names import shown

    lines = []
    for name in preprocessing.unknown_columns(frame):
        lines.append(f"column {shown(name)}: training knew none of its values")
    for name, rows in preprocessing.too_large(frame).items():
        value = frame.column(name)[rows[0]]
        more = f", and {len(rows) - 1} more," if len(rows) > 1 else ""
        what = f"{value} in row {rows[0] + 1}{more} is too large, and counts as missing"
        lines.append(f"column {shown(name)}: {what}")
    return lines


if __name__ == "__main__":
    settings = dict.fromkeys(("sep", "encoding", "decimal", "thousands", "na_values", "words"))
    command(predict, USAGE, {"run": NEEDED, "data": NEEDED, "out": "predictions.csv", **settings})
