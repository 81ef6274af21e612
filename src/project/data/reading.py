"""Reading a table, and telling in one line why it cannot be learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from caviar import usage_error
from project.data.split import needed

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".parquet")


def read_table(
    path: str | Path,
    columns: list[str] | None = None,
    text: list[str] | None = None,
    key: str = "data.path",
) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Args:
        columns: those to read; None: all.
        text: columns of a CSV file to read as they are written, so that ``01`` stays ``01``.
        key: the setting that named the file, for the error's text.

    Raises:
        UsageError: the file is missing, empty, not readable or of another format.
    """
    import pandas as pd

    file = _file(path, key)
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file, columns=columns)
        types = dict.fromkeys(text or [], str)
        # In one piece: read in chunks, a column of text and numbers would be some of each.
        return pd.read_csv(file, usecols=columns, dtype=types, low_memory=False)
    except pd.errors.EmptyDataError:
        raise usage_error(key, path, "the file is empty") from None
    except (OSError, ValueError) as error:
        raise usage_error(key, path, f"not readable as {file.suffix} ({error})") from None


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """The column ``name``, which is there."""
    return cast("pd.Series", frame[name])


def column_names(path: str | Path) -> list[str]:
    """The names of a table's columns, read without its rows. Raises as `read_table` does."""
    file = _file(path)
    if file.suffix == ".parquet":
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_schema(file).names)
        except (OSError, ValueError) as error:
            raise usage_error("data.path", path, f"not readable as .parquet ({error})") from None
    import pandas as pd

    try:
        return [str(name) for name in pd.read_csv(file, nrows=0).columns]
    except pd.errors.EmptyDataError:
        raise usage_error("data.path", path, "the file is empty") from None
    except (OSError, ValueError) as error:
        raise usage_error("data.path", path, f"not readable as .csv ({error})") from None


def check_table(
    path: str | None, target: str | None, val_fraction: float, test_fraction: float
) -> None:
    """Raise UsageError unless the table's target column can be split and learnt from."""
    if path is None:
        raise usage_error("data.path", path, "data=table needs a CSV or Parquet file")
    names = column_names(path)
    if target not in names:
        raise usage_error("data.target", target, f"no such column in {path}", names)
    if len(names) == 1:
        raise usage_error("data.path", path, f"has no column but the target {target}")
    frame = read_table(path, columns=[target])
    check_target(column(frame, target), path, val_fraction, test_fraction)


def check_target(
    target: pd.Series, path: str | Path, val_fraction: float, test_fraction: float
) -> None:
    """Raise UsageError unless ``target`` is whole, and each of its classes can be split."""
    if not len(target):
        raise usage_error("data.path", path, "the table has no rows")
    missing = int(target.isna().sum())
    if missing:
        raise usage_error("data.target", target.name, f"is missing in {missing} rows of {path}")
    counts = target.value_counts()
    if len(counts) == 1:
        raise usage_error("data.target", target.name, f"has one class only ({counts.index[0]})")
    fewest = needed(val_fraction, test_fraction)
    if counts.iloc[-1] < fewest:
        raise usage_error(
            "data.target",
            target.name,
            f"class {counts.index[-1]} has {counts.iloc[-1]} rows, "
            f"but {fewest} are needed to split it",
        )


def plain(value: Any) -> Any:
    """A value of a target column as JSON has it: text, a number or a boolean."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, str | int | float | bool) else str(value)


def _file(path: str | Path, key: str = "data.path") -> Path:
    file = Path(path)
    if file.suffix not in FORMATS:
        raise usage_error(key, path, "not a .csv or .parquet file")
    if not file.is_file():
        near = [str(other) for other in sorted(file.parent.glob("*")) if other.suffix in FORMATS]
        raise usage_error(key, path, "no such file", near[:20] or None)
    return file
