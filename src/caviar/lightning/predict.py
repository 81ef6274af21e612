"""Predictions for new rows, from a saved run alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo

if TYPE_CHECKING:
    from pandas import DataFrame

USAGE = """caviar predict RUN [data=NEW.csv] [out=predictions.csv] [SETTING=VALUE …]
or python -m project.predict run=PATH data=NEW.csv …

run   a run's folder (a trial's folder is one)
data  what the run's data class reads new rows from: of a table, CSV or Parquet with the columns that the
      run was trained on, a target is not needed; without it, what its predict_dataloader has
out   CSV or Parquet: a row for each row of data; of a classifier class, then probability_CLASS for each
sep, encoding, decimal, thousands, na_values, words
      how data is written, where it is not as the table was that the run was trained on"""

DEFAULTS = {
    "data": None,
    "out": "predictions.csv",
    **dict.fromkeys(("sep", "encoding", "decimal", "thousands", "na_values", "words")),
}
"""The arguments beside the run, with what they are where they are not given."""


def predict(run: str, data: str | None, out: str, **written: Any) -> None:
    """Write the predictions of the run in folder ``run`` for the rows of ``data`` to ``out``.

    Args:
        data: what the ``new_rows`` of its data takes; None: its ``predict_dataloader`` is predicted.
        written: how ``data`` is written, where that is not as the run's own data were.

    Raises:
        UsageError: the run or the rows cannot be read, or ``out`` exists.
    """
    target = Path(out)
    if target.suffix.lower() not in (".csv", ".parquet"):
        raise usage_error("out", out, "not a .csv or .parquet file")
    if target.exists():
        raise usage_error("out", out, "exists already, and is not written over")
    if not target.parent.is_dir():
        raise usage_error("out", out, "its folder does not exist")

    given = {key: value for key, value in written.items() if value is not None}
    table = predictions(run, data, **given)
    if target.suffix.lower() == ".csv":
        table.to_csv(target, index=False)
    else:
        table.to_parquet(target, index=False)
    echo(f"{len(table)} predictions: {target}")


def predictions(run: str, data: str | None, **written: Any) -> DataFrame:
    """What the run in folder ``run`` says of the rows of ``data``, a row for each.

    Raises:
        UsageError: the run or the rows cannot be read, or there is no row.
    """
    import pandas as pd
    import torch

    from caviar.lightning.hooks import columns_of
    from caviar.lightning.saved import open_run

    saved = open_run(run)
    module = saved.module
    with torch.no_grad():
        outputs = [
            module.predict_step(batch, index)
            for index, batch in enumerate(_batches(saved.data, data, written))
        ]
    if not outputs:
        raise UsageError(f"run={run}: there is nothing to predict")
    return pd.DataFrame(columns_of(module, outputs, saved.data))


def _batches(data: Any, path: str | None, written: dict[str, Any]) -> Any:
    kind = type(data).__name__
    if path is None:
        if not hasattr(data, "predict_dataloader"):
            raise UsageError("data: has to be given, as in data=new.csv")
        data.prepare_data()
        data.setup("predict")
        try:
            return data.predict_dataloader()
        except Exception as error:
            if type(error).__name__ != "MisconfigurationException":
                raise
            raise UsageError(f"data: has to be given: {kind} has no predict_dataloader") from error
    if not hasattr(data, "new_rows"):
        why = f"{kind} reads no new rows (it has no new_rows); its predict_dataloader does without data=…"
        raise usage_error("data", path, why)
    return data.new_rows(path, **written)
