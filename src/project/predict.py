"""Probabilities and classes for new rows, from a saved run alone."""

import sys
from pathlib import Path

from caviar import usage_error
from caviar.plain import tell
from project.arguments import command

USAGE = """python -m project.predict run=PATH data=NEW.csv [out=predictions.csv]

run   a run's folder (a trial's folder is one)
data  CSV or Parquet with the columns that the run was trained on; a target is not needed
out   CSV or Parquet: class, then probability_CLASS for each class, a row for each row of data"""

ROWS = 8192
"""Rows that go through the network at a time."""


def predict(run: str, data: str, out: str) -> None:
    """Write the predictions of the run in folder ``run`` for the table ``data`` to ``out``.

    Raises:
        UsageError: the run or the table cannot be read, a column is missing, or ``out`` exists.
    """
    target = Path(out)
    if target.suffix not in (".csv", ".parquet"):
        raise usage_error("out", out, "not a .csv or .parquet file")
    if target.exists():
        raise usage_error("out", out, "exists already, and is not written over")
    if not target.parent.is_dir():
        raise usage_error("out", out, "its folder does not exist")

    import pandas as pd
    import torch

    from project.data.reading import read_table
    from project.saved import open_run

    saved = open_run(run)
    frame = read_table(data, text=saved.preprocessing.text_columns(), key="data")
    if not len(frame):
        raise usage_error("data", data, "the table has no rows")
    for name in saved.preprocessing.unknown_columns(frame):
        tell(f"warning: column {name}: training knew none of its values", file=sys.stderr)
    features = torch.from_numpy(saved.preprocessing.features(frame))
    with torch.no_grad():
        steps = [saved.module.predict_step(rows) for rows in features.split(ROWS)]
    probabilities = torch.cat([step["probabilities"] for step in steps]).numpy()
    likeliest = torch.cat([step["classes"] for step in steps])
    classes = saved.preprocessing.classes
    table = pd.DataFrame(
        {
            "class": [classes[index] for index in likeliest.tolist()],
            **{f"probability_{name}": probabilities[:, i] for i, name in enumerate(classes)},
        }
    )
    if target.suffix == ".csv":
        table.to_csv(target, index=False)
    else:
        table.to_parquet(target, index=False)
    tell(f"{len(table)} predictions: {target}")


if __name__ == "__main__":
    command(predict, USAGE, {"run": None, "data": None, "out": "predictions.csv"})
