"""Claims about reading a table: its cells are what was written, or a line says why not."""

import codecs
import gzip
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caviar import UsageError
from caviar.tables.cells import numbers, words
from caviar.tables.format import Format
from caviar.tables.reading import read_table
from caviar.tables.source import Source


def read(tmp_path: Path, content: bytes | str, name: str = "t.csv", **form: Any) -> dict[str, Any]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, Format.of(form)).to_pydict()


PLAIN = {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a,b\n1,2,\n3,4,\n", "delimiters-at-the-end-of-rows.csv"),
        ("a,b,\n1,2,\n3,4,\n", "and-of-the-header.csv"),
        ("a,b,,\n1,2,,\n3,4,,\n", "several.csv"),
        ("\n\na,b\n\n1,2\n   \n3,4\n\n", "blank-lines.csv"),
        ("a,b\r1,2\r3,4\r", "mac.csv"),
        ("a,b\r\n1,2\r\n3,4\r\n", "windows.csv"),
        ("a;b\n1;2\n3;4\n", "semicolons.csv"),
        ("a|b\n1|2\n3|4\n", "bars.txt"),
        ("a\tb\n1\t2\n3\t4\n", "tabs.TSV"),
        (codecs.BOM_UTF8 + b"a,b\n1,2\n3,4\n", "mark.csv"),
        ("a,b\n1,2\n3,4\n".encode("utf-16"), "utf-16.csv"),
        (gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0), "packed.csv.gz"),
        (gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0), "packed-by-another-name.csv"),
        (b"a,b\n1,2\n3,4\n", "not-packed.csv.gz"),
        ('"a","b"\n"1","2"\n"3","4"', "quotes.CSV"),
    ],
)
def test_the_same_table_is_read_however_it_is_written(
    content: bytes | str, name: str, tmp_path: Path
) -> None:
    assert read(tmp_path, content, name) == PLAIN


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a,b\n1,2\n3,4,\n", "row 3 of the file has 3 cells, and those before it 2: '3,4,'"),
        ("a,b\n1,2\n3\n", "row 3 of the file has 1 cell, and those before it 2: '3'"),
        ("a,b\n1,2,\n3,4,5\n", "row 2 below the header has 3 cells, and the header 2"),
        ('a,b\n1,2\n3,"4\n5,6\n', "a quote is opened in row 2 below the header, and never closed"),
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("a,é\n1,2\n".encode("latin-1"), "it is no UTF-8 text; say what it is, as in data.encod"),
        ("a,b\n1,é\n".encode("latin-1"), "it is no UTF-8 text; say what it is, as in data.encod"),
        (b"PK\x03\x04zip", "not readable as .csv: it is an archive (zip, xlsx): unpack it"),
        (b"PAR1", "not readable as .csv: it is a Parquet file"),
        (
            gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:30],
            "not readable as .csv (Compressed file ended",
        ),
    ],
)
def test_what_is_no_table_is_told(content: bytes | str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        read(tmp_path, content)
    assert str(told.value).startswith(f"data.path={tmp_path}/t.csv: {line}")
    assert "\n" not in str(told.value)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "many.parquet").mkdir()
    with pytest.raises(UsageError, match=r"many\.parquet: is a folder; name one file"):
        read_table(tmp_path / "many.parquet")


def test_names_are_as_written_and_empty_ones_as_pandas_calls_them(tmp_path: Path) -> None:
    read_names = list(read(tmp_path, '" a","b\nc",1,,"d\x00"\n1,2,3,4,5\n'))
    assert read_names == [" a", "b\nc", "1", "Unnamed: 3", "d\x00"]


def test_a_long_cell_and_a_wide_table_are_read(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    assert read(tmp_path, f"a,b\n1,{long}\n2,y\n")["b"] == [long, "y"]
    wide = ",".join(str(i) for i in range(10_000))
    assert len(read(tmp_path, f"{wide}\n{wide}\n")) == 10_000


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"sep": ";;"}, "data.sep=;;: must be one character"),
        ({"encoding": "utf-9"}, "data.encoding=utf-9: no such encoding"),
        ({"decimal": "1"}, "data.decimal=1: cannot stand within a number"),
        ({"thousands": "."}, "data.thousands=.: is data.decimal too"),
        ({"words": "fold"}, "data.words=fold: no such choice; did you mean folded?"),
        ({"dates": ["b"]}, "data.dates=b: 'x' in row 1 is no date"),
        ({"dates": {"a": "%"}}, "data.dates.a=%: no such format"),
        ({"dates": ["a"], "categories": ["a"]}, "data.dates=a: is in data.categories too"),
    ],
)
def test_a_setting_that_cannot_be_is_told(
    settings: dict[str, Any], line: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n2026-01-31,x ,0\n2026-02-01,x ,1\n")

    def kinds_of() -> object:
        source = Source(str(path), "y", **settings)
        return source.kinds(source.table())

    with pytest.raises(UsageError) as told:
        kinds_of()
    assert str(told.value).startswith(line.replace("'x'", "'x '"))


def found(texts: Sequence[str | None], **form: Any) -> list[Any]:
    values, wrong = numbers(pa.array(texts), Format.of(form))
    return ["?" if bad else value for value, bad in zip(values.tolist(), wrong, strict=True)]


def test_what_a_number_is_does_not_depend_on_its_neighbours() -> None:
    texts = ["1", " 2.5 ", "+3", "-4e-1", ".5", "6.", "123456789012345678901234567890"]
    right = [1, 2.5, 3, -0.4, 0.5, 6, 1.2345678901234568e29]
    assert found(texts) == right
    assert found([*texts, "x"]) == [*right, "?"]
    for text in ("0x1f", "1_000", "\uff11", "1,5", "1 000", "5%", "--1", "1e", "True", "-"):
        assert found([text]) == ["?"]
    assert str(found([None, "NA", "null", "nan", "inf", ""])) == str([np.nan] * 6)


def test_decimals_and_thousands_are_as_the_settings_have_them() -> None:
    assert found(["1,5", "-0,25"], decimal=",") == [1.5, -0.25]
    assert found(["1,234", "5", "1,234,567.5"], thousands=",") == [1234, 5, 1234567.5]
    assert found(["1.234,5"], decimal=",", thousands=".") == [1234.5]
    assert found(["1,23", "12,34,567"], thousands=",") == ["?", "?"]
    assert str(found(["?", "-999", "7"], na_values=["?", -999])) == str([np.nan, np.nan, 7.0])


def kinds(tmp_path: Path, columns: dict[str, Any], **settings: Any) -> dict[str, Any]:
    path = tmp_path / "t.parquet"
    length = len(next(iter(columns.values())))
    pq.write_table(pa.table({**columns, "y": ["a", "b"] * (length // 2)}), path)
    source = Source(str(path), "y", **settings)
    table = source.table()
    return {
        kind.name: words(table.column(kind.name), source.format).to_pylist()
        if kind.values is not None
        else numbers(table.column(kind.name), source.format, kind.unit, kind.time)[0].tolist()
        for kind in source.kinds(table)
    }


def test_what_parquet_stores_as_a_number_is_one(tmp_path: Path) -> None:
    moment = pd.Timestamp("2026-01-31 12:00")
    columns = {
        "decimal": pa.array([Decimal("1.50"), None]),
        "half": pa.array(np.array([1.5, 2], np.float16)),
        "large": pa.array([2**64 - 1, 0], pa.uint64()),
        "length": pa.array([pd.Timedelta("1h"), None], pa.duration("ns")),
        "moment": pa.array([moment, None], pa.timestamp("ns")),
        "zoned": pa.array(
            [moment.tz_localize("Europe/Rome"), None], pa.timestamp("us", "Europe/Rome")
        ),
        "day": pa.array([moment.date(), None]),
        "nothing": pa.nulls(2),
    }
    seconds = moment.timestamp()
    expected = {
        "decimal": [1.5, np.nan],
        "half": [1.5, 2.0],
        "large": [float(2**64), 0.0],
        "length": [3600.0, np.nan],
        "moment": [seconds, np.nan],
        "zoned": [seconds - 3600, np.nan],
        "day": [seconds - 12 * 3600, np.nan],
        "nothing": [np.nan, np.nan],
    }
    assert str(kinds(tmp_path, columns)) == str(expected)


def test_what_parquet_stores_as_words_are_words(tmp_path: Path) -> None:
    columns = {
        "dictionary": pa.array(["1", "2"]).dictionary_encode(),
        "large": pa.array(["a", None], pa.large_string()),
        "bytes": pa.array([b"a", b"b"]),
        "truth": pa.array([True, None]),
    }
    assert kinds(tmp_path, columns) == {
        "dictionary": ["1", "2"],
        "large": ["a", None],
        "bytes": ["a", "b"],
        "truth": ["True", None],
    }


@pytest.mark.parametrize("column", [[[1], [2]], [{"a": 1}, None], [b"\xff", b"\xfe"]])
def test_what_is_neither_number_nor_word_is_told_unless_left_out(column: Any, tmp_path: Path):
    columns = {"odd": pa.array(column), "x": pa.array([1, 2])}
    with pytest.raises(
        UsageError, match=r"column odd holds .*; leave it out: data\.ignore=\[odd\]"
    ):
        kinds(tmp_path, columns)
    assert kinds(tmp_path, columns, ignore=["odd"]) == {"x": [1.0, 2.0]}


def test_dates_as_text_are_seconds_where_they_are_named(tmp_path: Path) -> None:
    texts = {"iso": ["2026-01-31", None], "our": ["31.01.2026", "1.2.2026"]}
    columns = {name: pa.array(cells) for name, cells in texts.items()}
    assert kinds(tmp_path, columns) == {"iso": texts["iso"], "our": texts["our"]}
    day = pd.Timestamp("2026-01-31").timestamp()
    dated = kinds(tmp_path, columns, dates={"iso": None, "our": "%d.%m.%Y"})
    assert str(dated) == str({"iso": [day, np.nan], "our": [day, day + 86400]})


def test_a_percent_sign_or_a_currency_makes_numbers_no_words(tmp_path: Path) -> None:
    columns = {"share": pa.array(["5%", "-7.5 %"]), "price": pa.array(["€3", "-€4"])}
    assert kinds(tmp_path, columns) == {"share": [5.0, -7.5], "price": [3.0, -4.0]}
    mixed = {"price": pa.array(["€3", "$4"])}
    assert kinds(tmp_path, mixed) == {"price": ["€3", "$4"]}
