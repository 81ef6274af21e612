"""A law: what is read of a table is what pandas wrote, however it was written.

``CAVIAR_FUZZ=300`` looks for what breaks it for so many seconds (``scripts/bench fuzz_tables``).
"""

import csv
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from caviar.tables.features import FARTHEST
from caviar.tables.format import Format
from caviar.tables.preprocessing import Preprocessing
from caviar.tables.reading import read_table
from project.data.table import Table
from project.predict import predict

SECONDS = float(os.environ.get("CAVIAR_FUZZ", "0"))
FIXTURE = HealthCheck.function_scoped_fixture
TRIED = settings(
    max_examples=10**9 if SECONDS else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, FIXTURE],
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
ENDS = monotonic() + SECONDS
ODD_WORDS = (
    *("NA", "null", "None", "nan", "01", "1", "1.0", "1e3", "true", "True", " a", "a ", "a", "A"),
    *("?", "-", "=1+1", 'a"b', "a,b", "a;b", "a\tb", "a\nb", "a\r\nb", "é", "inf", "0x1f", "#"),
    *("1_000", "Unnamed: 0", "target", "'", "[1]", "{a: b}", "${x}", "a=b", "\uff12"),
)


@dataclass
class Written:
    """A table, and how it is to be written."""

    frame: pd.DataFrame
    dates: list[str]
    to_csv: dict[str, Any]
    ending: str
    settings: dict[str, Any]

    def csv(self, folder: Path) -> Path:
        path = folder / f"table{self.ending}"
        self.frame.to_csv(path, index=False, **self.to_csv)
        return path

    def parquet(self, folder: Path) -> Path:
        path = folder / "table.parquet"
        self.frame.to_parquet(path)
        return path

    def load(self, path: Path, **more: Any) -> Table:
        dates = [] if path.suffix == ".parquet" else self.dates
        return Table(str(path), "target", dates=dates, **self.settings, **more)


def words(codec: str, min_size: int = 1) -> st.SearchStrategy[str]:
    free = st.text(
        st.characters(codec=codec, exclude_characters="\r"), min_size=min_size, max_size=8
    )
    odd = [word for word in ODD_WORDS if word.encode(codec, "ignore").decode(codec) == word]
    return st.one_of(st.sampled_from(odd), free)


@st.composite
def tables(draw: st.DrawFn) -> Written:
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]))
    codec = "utf-8" if encoding.startswith("utf") else encoding
    names = draw(st.lists(words(codec), min_size=1, max_size=5, unique=True))
    names = [name for name in names if name != "target"]
    rows = draw(st.integers(9, 30))
    columns: dict[str, Any] = {}
    dates = []
    for name in [*names, "last"]:
        kind = draw(
            st.sampled_from(["floats", "float32", "ints", "words", "bools", "dates", "cat"])
        )
        columns[name] = draw(cells(kind, rows, codec))
        dates += [name] if kind == "dates" else []
    classes = draw(st.lists(words(codec), min_size=2, max_size=3, unique=True))
    target = draw(st.permutations([classes[i % len(classes)] for i in range(rows)]))
    columns["target"] = pd.Series(list(target), dtype=object)
    order = draw(st.permutations(list(columns)))
    frame = pd.DataFrame({name: columns[name] for name in order})
    sep = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = draw(st.sampled_from([".", ","]))
    to_csv = {
        "sep": sep,
        "decimal": decimal,
        "encoding": encoding,
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
    }
    written = {"sep": sep, "decimal": decimal}
    if codec != "utf-8":
        written["encoding"] = encoding
    return Written(
        frame, dates, to_csv, draw(st.sampled_from([".csv", ".csv.gz", ".TXT"])), written
    )


@st.composite
def cells(draw: st.DrawFn, kind: str, rows: int, codec: str) -> Any:
    def some(values: st.SearchStrategy[Any], missing: bool = True) -> list[Any]:
        one = st.one_of(st.none(), values) if missing else values
        return draw(st.lists(one, min_size=rows, max_size=rows))

    if kind == "floats":
        return pd.Series(some(st.floats(-1e30, 1e30)), dtype=float)
    if kind == "float32":
        # Exact in both: a float32 is written with fewer digits than a float64 of it has.
        return pd.Series(some(st.integers(-999, 999).map(lambda i: i / 8)), dtype=np.float32)
    if kind == "ints":
        return pd.Series(some(st.integers(-(2**62), 2**62)), dtype="Int64")
    if kind == "bools":
        return pd.Series(some(st.booleans(), missing=False), dtype=bool)
    if kind == "dates":
        low, high = pd.Timestamp("1800-01-01"), pd.Timestamp("2200-01-01")
        times = some(st.datetimes(low.to_pydatetime(), high.to_pydatetime()))
        return pd.Series(pd.to_datetime(pd.Series(times, dtype="datetime64[us]")))
    # At least one word is none that a number may be written as.
    text = ["word", *some(words(codec))[1:]]
    if kind == "cat":
        known = [word for word in dict.fromkeys(text) if word is not None]
        return pd.Series(pd.Categorical(text, categories=[*known, "never met"]))
    return pd.Series(text, dtype=object)


def as_written(series: pd.Series) -> list[str | None]:
    """The text that pandas writes for each cell, None where it is missing."""
    return [None if gone else str(v) for v, gone in zip(series, series.isna(), strict=True)]


def met_as(word: str | None, values: list[str]) -> str | None:
    """A word that training did not meet, with or without its ``.0`` where it met that."""
    if word is None or word in values:
        return word
    whole = [re.sub(r"^(-?[0-9]+)\.0+$", r"\1", one) for one in (word, *values)]
    return values[whole.index(whole[0], 1) - 1] if whole[0] in whole[1:] else word


def check_features(frame: pd.DataFrame, learnt: Preprocessing, features: np.ndarray) -> None:
    """Undo the preprocessing: the features are what the frame holds."""
    place = 0
    for column in learnt.columns:
        series = frame[column.name]
        ours = features[:, place : place + column.size]
        place += column.size
        if column.values is not None:
            met = [met_as(word, column.values) for word in as_written(series)]
            expected = [[float(word == value) for value in column.values] for word in met]
            assert ours[:, : len(column.values)].tolist() == expected, column.name
            missing = series.isna().to_numpy()
        else:
            if column.time:
                numbers = series.to_numpy("datetime64[us]").astype(np.int64) / 1e6
                missing = series.isna().to_numpy()
            else:
                numbers = series.to_numpy(float, na_value=np.nan)
                missing = np.isnan(numbers) | (abs(numbers - column.mean) > FARTHEST * column.scale)
            found = ours[:, 0].astype(float) * column.scale + column.mean
            near = 1e-6 * (np.abs(numbers - column.mean) + column.scale + 1e-9 * abs(column.mean))
            assert (np.abs(found - numbers) <= near)[~missing].all(), column.name
            assert (ours[missing, 0] == 0).all()
        if column.flag:
            assert ours[:, -1].tolist() == missing.astype(float).tolist(), column.name
    assert place == features.shape[1]


def check_table(written: Written, path: Path) -> Preprocessing:
    data = written.load(path)
    parts, learnt = data.parts, data.parts.preprocessing
    frame = written.frame
    assert [c.name for c in learnt.columns] == [n for n in frame.columns if n != "target"]
    table = read_table(path, learnt.format)
    features = learnt.features(table)
    check_features(frame, learnt, features)
    texts = [str(one) for one in learnt.classes]
    assert sorted(texts) == sorted(set(frame["target"]))
    labels = np.array([texts.index(word) for word in frame["target"]])
    split = data.split(labels)
    for part in ("train", "val", "test"):
        x, y = getattr(parts, part)
        rows = getattr(split, part)
        assert x.numpy().tolist() == features[rows].tolist()
        assert y.tolist() == labels[rows].tolist()
    return learnt


@TRIED
@given(written=tables())
def test_what_is_read_is_what_was_written(written: Written) -> None:
    if SECONDS and monotonic() > ENDS:
        pytest.skip("its seconds are over, and nothing broke it")  # Hypothesis ends with it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv_file, parquet = written.csv(folder), written.parquet(folder)
        learnt, again = check_table(written, csv_file), check_table(written, parquet)
        assert learnt.same_as(again)
        for file, text in learnt.files().items():
            (folder / file).write_text(text)
        saved = Preprocessing.read(folder)
        assert saved == learnt
        # New files of either kind give the same features, their columns in another order.
        other = read_table(parquet, Format())
        other = other.select(sorted(other.column_names, reverse=True))
        mine = saved.features(read_table(csv_file, saved.format))
        assert saved.features(other).tolist() == mine.tolist()


@settings(TRIED, max_examples=10**9 if SECONDS else 2)
@given(written=tables(), seed=st.integers(0, 99))
def test_each_row_is_predicted_by_itself(
    train: Callable[..., Any], written: Written, seed: int
) -> None:
    if SECONDS and monotonic() > ENDS + SECONDS:
        pytest.skip("its seconds are over, and nothing broke it")  # Hypothesis ends with it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = written.parquet(folder)
        run = train(
            *("data=table", f"data.path='{path}'", "data.target=target", "data.batch_size=4"),
            *("trainer.max_epochs=1", f"seed={seed}", "callbacks.nan_guard=null"),
        )
        order = np.random.default_rng(seed).permutation(len(written.frame))
        whole, part = folder / "whole.parquet", folder / "part.csv"
        predict(str(run.folder), str(path), str(whole))
        shuffled = Written(
            written.frame.iloc[order], written.dates, written.to_csv, ".csv", written.settings
        )
        predict(str(run.folder), str(shuffled.csv(folder)), str(part), **written.settings)
        first = pd.read_parquet(whole).iloc[order].reset_index(drop=True)
        second = pd.read_csv(part, dtype={"class": str}, keep_default_na=False)
        assert first["class"].astype(str).tolist() == second["class"].tolist()
        assert np.allclose(first.iloc[:, 1:], second.iloc[:, 1:].astype(float), atol=1e-5)
        assert set(second["class"]) <= set(written.frame["target"])
