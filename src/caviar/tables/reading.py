"""Reading a table's file: the cells of a CSV as they are written, those of a Parquet as they are stored.

Nothing is guessed here. A row that does not fit the header is named, and no name is changed.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from caviar.base.errors import UsageError, usage_error
from caviar.tables.cells import TEXT
from caviar.tables.format import Format

if TYPE_CHECKING:
    import pandas as pd

TEXT_ENDINGS = (".csv", ".tsv", ".txt")
ENDINGS = (*TEXT_ENDINGS, *(f"{ending}.gz" for ending in TEXT_ENDINGS), ".parquet")
_GZIP, _ZIP, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MOST_BYTES = 1 << 28
"""Of a block of a CSV: a row is to be in one block, or two."""

_NOT_UTF8 = "it is no UTF-8 text; say what it is, as in data.encoding=latin-1"

_last: tuple[Any, pa.Table] | None = None


def read_table(path: str | Path, form: Format | None = None, key: str = "data.path") -> pa.Table:
    """Read a CSV (tab-separated or compressed, too) or Parquet file.

    A cell of a CSV is text, or None where it is empty. A column without a name is called
    ``Unnamed: N``, as pandas calls it; last ones without any cell are left out. The table that was
    read last is kept: see `forget`.

    Args:
        key: the setting that named the file, for the error's text.

    Raises:
        UsageError: the file is missing, empty, not readable, or of another format; or a row has more or
            fewer cells than the header.
    """
    global _last
    form = form or Format()
    file = _file(path, key)
    state = file.stat()
    same = (file.resolve(), state.st_mtime_ns, state.st_size, form.sep, form.encoding)
    if _last is None or _last[0] != same:
        try:
            table = _parquet(file) if _ending(file) == ".parquet" else _csv(file, form, path, key)
        except UnicodeDecodeError as error:
            why = _NOT_UTF8 if error.encoding == "utf-8" else f"it is no text in {form.encoding}"
            raise usage_error(key, path, why) from None
        except (OSError, EOFError, ValueError, pa.ArrowException) as error:
            if isinstance(error, UsageError):
                raise
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise usage_error(key, path, f"not readable as {_ending(file)} ({why})") from None
        _last = same, table
    return _last[1]


def forget() -> None:
    """Let go of the table that was read last."""
    global _last
    _last = None


def as_table(frame: pa.Table | pd.DataFrame) -> pa.Table:
    """A table, be it pandas' or Arrow's."""
    if isinstance(frame, pa.Table):
        return frame
    columns = []
    for index in range(frame.shape[1]):
        series = frame.iloc[:, index]
        try:
            columns.append(pa.chunked_array([pa.array(series, from_pandas=True)]))
        except pa.ArrowException:  # one that has several types in it
            texts = series.map(str, na_action="ignore")
            columns.append(pa.chunked_array([pa.array(texts, TEXT, from_pandas=True)]))
    return pa.table(columns, names=[str(name) for name in frame.columns])


def _parquet(file: Path) -> pa.Table:
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(file).read()
    # An index without a name is no column of the table that was written.
    kept = [n for n in table.column_names if not re.fullmatch(r"__index_level_\d+__", n)]
    return table if len(kept) == table.num_columns else table.select(kept)


def _csv(file: Path, form: Format, path: str | Path, key: str) -> pa.Table:
    from pyarrow import csv as arrow_csv

    encoding = form.encoding or _encoding(file)
    sep = form.sep or _separator(file, encoding)
    names, width, above = _header(file, encoding, sep)
    if not names:
        raise usage_error(key, path, "the file is empty")
    columns = [str(index) for index in range(max(width, len(names)))]
    if not width:
        return _named(pa.table([pa.array([], TEXT)] * len(columns), names=columns), names)
    wrong: list[Any] = []
    header_fits = [True]

    def misfit(row: Any) -> str:
        if not row.text.strip():
            return "skip"  # a line of blanks is an empty one
        if row.number <= above + 1:
            header_fits.clear()
            return "skip"
        wrong.append(row)
        return "error"

    size = _MOST_BYTES if _begins(file, _GZIP) else min(2 * file.stat().st_size, _MOST_BYTES)
    try:
        with _opened(file) as stream:
            table = arrow_csv.read_csv(
                stream,
                arrow_csv.ReadOptions(
                    use_threads=False,  # only then a row's number is known
                    block_size=max(size, 1 << 20),
                    column_names=columns,
                    encoding=encoding,
                ),
                arrow_csv.ParseOptions(
                    delimiter=sep, newlines_in_values=True, invalid_row_handler=misfit
                ),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, TEXT),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except pa.ArrowInvalid as error:
        if wrong:
            raise _misfit(wrong[0], len(columns), path, key) from None
        if "invalid UTF8" in str(error):
            raise usage_error(key, path, _NOT_UTF8) from None
        raise
    # Not skipped while reading: Arrow skips one row too many where the header has a NUL in it.
    table = table.slice(1 if header_fits else 0)
    _check_extra(table, len(names), path, key)
    _check_quotes(file, encoding, table, path, key)
    return _named(table, names)


def _header(file: Path, encoding: str, sep: str) -> tuple[list[str], int, int]:
    """The names in the first row that is not blank, the cells of the next, and the rows above."""
    csv.field_size_limit(1 << 30)
    with _opened(file) as raw, _text(raw, encoding) as text:
        rows = enumerate(csv.reader(text, delimiter=sep))
        filled = ((i, row) for i, row in rows if any(cell.strip() for cell in row) or row[1:])
        above, names = next(filled, (0, []))
        return names, len(next(filled, (0, []))[1]), above


def _named(table: pa.Table, names: list[str]) -> pa.Table:
    """The table with the header's names; what has neither name nor cells at its end is left out."""
    count = min(len(names), table.num_columns)
    while count > 1 and not names[count - 1].strip() and not _filled(table.column(count - 1)):
        count -= 1
    named = [name if name else f"Unnamed: {i}" for i, name in enumerate(names[:count])]
    return pa.table(table.columns[:count], names=named)


def _filled(column: pa.ChunkedArray) -> bool:
    return column.null_count < len(column)


def _check_extra(table: pa.Table, named: int, path: str | Path, key: str) -> None:
    """Refuse cells beyond the header's: those that a separator at the end of each row makes are empty."""
    for column in table.columns[named:]:
        if _filled(column):
            row = column.is_valid().to_pylist().index(True) + 1
            why = f"has {table.num_columns} cells, and the header {named}"
            raise usage_error(key, path, f"row {row} below the header {why}")


def _check_quotes(file: Path, encoding: str, table: pa.Table, path: str | Path, key: str) -> None:
    """Refuse a file that ends within a quote: all that follows the quote is in one cell."""
    last = table.slice(max(len(table) - 1, 0)).to_pydict().values()
    if any("\n" in (cell or "") for cells in last for cell in cells):
        with _opened(file) as raw, _text(raw, encoding) as text:
            quotes = sum(block.count('"') for block in iter(lambda: text.read(1 << 20), ""))
        if quotes % 2:
            why = f"a quote is opened in row {len(table)} below the header, and never closed"
            raise usage_error(key, path, why)


def _misfit(row: Any, expected: int, path: str | Path, key: str) -> UsageError:
    text = row.text if len(row.text) <= 60 else row.text[:57] + "…"
    cells = "1 cell" if row.actual_columns == 1 else f"{row.actual_columns} cells"
    why = f"row {row.number} of the file has {cells}, and those before it {expected}: {text!r}"
    hint = "; is data.sep right?" if expected == 1 else ""
    return usage_error(key, path, why + hint)


def _separator(file: Path, encoding: str) -> str:
    if _ending(file).startswith(".tsv"):
        return "\t"
    with _opened(file) as raw, _text(raw, encoding) as text:
        first = next((line for line in text if line.strip()), "")
    for sep in (",", ";", "\t", "|"):
        if len(next(csv.reader([first], delimiter=sep), [])) > 1:
            return sep
    return ","


def _encoding(file: Path) -> str:
    with _opened(file) as raw:
        first = raw.read(4)
    return next((name for mark, name in _MARKS.items() if first.startswith(mark)), "utf-8")


def _text(raw: BinaryIO, encoding: str) -> io.TextIOWrapper:
    plain = codecs.lookup(encoding).name == "utf-8"
    return io.TextIOWrapper(raw, "utf-8-sig" if plain else encoding, newline="")


def _opened(file: Path) -> BinaryIO:
    """The bytes of a file, unpacked where they are gzip's, whatever its name is."""
    return cast("BinaryIO", gzip.open(file) if _begins(file, _GZIP) else file.open("rb"))


def _begins(file: Path, mark: bytes) -> bool:
    with file.open("rb") as raw:
        return raw.read(len(mark)) == mark


def _ending(file: Path) -> str:
    name = file.name.lower()
    return next((ending for ending in reversed(ENDINGS) if name.endswith(ending)), file.suffix)


def _file(path: str | Path, key: str) -> Path:
    file = Path(path)
    if _ending(file) not in ENDINGS:
        why = f"not a .csv or .parquet file (nor one of {', '.join(ENDINGS[1:-1])})"
        raise usage_error(key, path, why)
    if file.is_dir():
        raise usage_error(key, path, "is a folder; name one file")
    if not file.is_file():
        near = [str(other) for other in sorted(file.parent.glob("*")) if _ending(other) in ENDINGS]
        raise usage_error(key, path, "no such file", near[:20] or None)
    if _ending(file) != ".parquet":
        marks = {_ZIP: "an archive (zip, xlsx): unpack it", _PARQUET: "a Parquet file"}
        for mark, what in marks.items():
            if _begins(file, mark):
                raise usage_error(key, path, f"not readable as {_ending(file)}: it is {what}")
    return file
