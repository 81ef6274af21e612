"""Claims about tables: what preprocessing learns, and from which rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from caviar import UsageError
from caviar.tables.features import learn, unknown_columns
from caviar.tables.names import meant
from caviar.tables.preprocessing import Column, Preprocessing
from caviar.tables.reading import read_table
from project.data.table import Table


def load(path: Path, **settings: Any) -> Table:
    settings = {"target": "kind", "ignore": ["id"], **settings}
    return Table(str(path), **settings)


def parts_as_frames(data: Table, path: Path) -> dict[str, pd.DataFrame]:
    frame = pd.read_csv(path, dtype={"code": str})
    labels = np.unique(frame.kind, return_inverse=True)[1]
    split = data.split(labels)
    return {part: frame.iloc[getattr(split, part)] for part in ("train", "val", "test")}


def test_numbers_are_standardised_with_the_training_parts_statistics_only(table: Path) -> None:
    data = load(table)
    train = parts_as_frames(data, table)["train"]
    (weight,) = [c for c in data.parts.preprocessing.columns if c.name == "weight"]
    assert weight.mean == pytest.approx(train.weight.mean())
    assert weight.scale == pytest.approx(train.weight.std(ddof=0))
    present = data.parts.train[0][:, 0][data.parts.train[0][:, 1] == 0]
    assert present.mean().item() == pytest.approx(0, abs=1e-6)
    assert present.std(unbiased=False).item() == pytest.approx(1, abs=1e-6)


def test_what_validation_and_test_rows_hold_changes_nothing_learnt(table: Path) -> None:
    data = load(table)
    before = data.parts
    frame = pd.read_csv(table, dtype=str)
    others = np.concatenate(
        [part.index for name, part in parts_as_frames(data, table).items() if name != "train"]
    )
    frame.loc[others, "weight"] = "1e9"
    frame.loc[others, "colour"] = "purple"
    frame.to_csv(table, index=False)
    after = load(table).parts
    assert after.preprocessing == before.preprocessing
    assert after.train[0].equal(before.train[0])
    assert not after.val[0].equal(before.val[0])


def test_missing_values_are_imputed_and_flagged(table: Path) -> None:
    data = load(table)
    preprocessing = data.parts.preprocessing
    frame = pd.DataFrame(
        {
            "weight": [None, np.inf, 3.0],
            "colour": [None, "grey", "grey"],
            "code": [1, 1, 1],
            "broken": ["True", "True", "True"],
        }
    )
    features = preprocessing.features(frame)
    assert np.isfinite(features).all()
    assert features[:2, 0].tolist() == [0, 0]  # the training mean
    assert features[:, 1].tolist() == [1, 1, 0]  # missing, infinite, there
    colour = features[:, 2:6]  # blue, grey, white, missing
    assert colour[0].tolist() == [0, 0, 0, 1]
    assert colour[1].tolist() == [0, 1, 0, 0]


def test_a_value_missing_where_training_had_none_missing_is_imputed_without_a_flag() -> None:
    column = Column("a", mean=5.0, scale=2.0)
    features = Preprocessing([column], [0, 1]).features(pd.DataFrame({"a": [None, 9.0]}))
    assert features.tolist() == [[0.0], [2.0]]


def test_a_missing_category_is_not_the_category_named_nan() -> None:
    column = Column("a", values=["None", "nan"], flag=True)
    frame = pd.DataFrame({"a": pd.Series([None, np.nan, "nan"], dtype=object)})
    features = Preprocessing([column], [0, 1]).features(frame)
    assert features.tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_a_column_too_large_to_be_scaled_is_told(table: Path) -> None:
    frame = pd.read_csv(table)
    frame["huge"] = np.linspace(-1e300, 1e300, len(frame))
    frame.to_csv(table, index=False)
    with pytest.raises(
        UsageError, match=r"column huge holds .*e\+(299|300): too large to be scaled"
    ):
        _ = load(table).parts


def test_an_unseen_category_is_ignored(table: Path) -> None:
    preprocessing = load(table).parts.preprocessing
    row = {"weight": [1.0], "colour": ["purple"], "code": [1], "broken": ["True"]}
    assert preprocessing.features(pd.DataFrame(row))[0, 2:6].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("trained", "met"), [([1, 2], [1.0, 2.0, None]), ([1.0, 2.0, None], ["1", "2"])]
)
def test_a_whole_number_is_one_category_with_and_without_a_point(
    trained: list[Any], met: list[Any]
) -> None:
    columns = learn(pd.DataFrame({"code": trained}), [Column("code", values=[])], 9)
    preprocessing = Preprocessing(columns, [0, 1])
    frame = pd.DataFrame({"code": met})
    assert preprocessing.features(frame)[:2, :2].tolist() == [[1, 0], [0, 1]]
    assert unknown_columns(preprocessing, frame) == []
    assert unknown_columns(preprocessing, pd.DataFrame({"code": ["01", "3"]})) == ["code"]


def test_text_and_booleans_are_categories_and_codes_are_when_named(table: Path) -> None:
    columns = {c.name: c for c in load(table).parts.preprocessing.columns}
    assert columns["colour"].values == ["blue", "grey", "white"]
    assert columns["broken"].values == ["False", "True"]
    assert columns["code"].values is None
    named = {c.name: c for c in load(table, categories=["code"]).parts.preprocessing.columns}
    assert named["code"].values == ["00", "01", "02", "03"]  # as written, not as numbers


def test_the_rarest_categories_beyond_the_limit_get_no_feature(table: Path) -> None:
    data = load(table, categories=["id"], ignore=[], max_categories=5)
    columns = {c.name: c for c in data.parts.preprocessing.columns}
    assert len(columns["id"].values or []) == 5


def test_a_constant_or_wholly_missing_column_does_no_harm(table: Path) -> None:
    frame = pd.read_csv(table, dtype=str).assign(same="7", empty=None)
    frame.to_csv(table, index=False)
    data = load(table)
    assert all(part[0].isfinite().all() for part in (data.parts.train, data.parts.test))


def test_string_targets_are_classes_in_order(table: Path) -> None:
    data = load(table)
    assert data.parts.preprocessing.classes == ["clam", "mussel", "oyster"]
    assert data.num_classes == 3
    frames = parts_as_frames(data, table)
    names = [data.parts.preprocessing.classes[i] for i in data.parts.val[1].tolist()]
    assert names == frames["val"].kind.tolist()


def test_parquet_and_csv_give_the_same_features(table: Path, tmp_path: Path) -> None:
    parquet = tmp_path / "shells.parquet"
    frame = pd.read_csv(table, dtype={"code": str})
    frame.to_parquet(parquet)
    first = load(table, categories=["code"])
    second = load(parquet, categories=["code"])
    assert first.parts.preprocessing == second.parts.preprocessing
    assert first.parts.train[0].equal(second.parts.train[0])


def test_what_was_learnt_is_saved_as_plain_json(table: Path, tmp_path: Path) -> None:
    preprocessing = load(table).parts.preprocessing
    for name, text in preprocessing.files().items():
        (tmp_path / name).write_text(text)
    assert json.loads((tmp_path / "preprocessing.json").read_text())["target"] == "kind"
    assert Preprocessing.read(tmp_path) == preprocessing


@pytest.mark.parametrize("text", ["{", "{}", '{"columns": 3}'])
def test_a_broken_preprocessing_file_is_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it has no preprocessing\.json"):
        Preprocessing.read(tmp_path)
    (tmp_path / "preprocessing.json").write_text(text)
    with pytest.raises(UsageError, match="not readable"):
        Preprocessing.read(tmp_path)


def test_a_table_is_read_once_a_process_until_it_changes(table: Path) -> None:
    first, again = load(table, split_seed=3), load(table, split_seed=3, batch_size=7)
    assert first.parts is again.parts
    assert load(table, split_seed=4).parts is not first.parts
    table.write_text(table.read_text().replace("grey", "gray"))
    assert load(table, split_seed=3).parts is not first.parts


@pytest.mark.parametrize("key", ["categories", "ignore"])
def test_a_wrong_column_name_is_told_with_the_nearest_one(key: str, table: Path) -> None:
    with pytest.raises(UsageError, match=rf"data\.{key}=color: .* did you mean colour\?"):
        _ = load(table, **{key: ["color"]}).parts


def test_a_table_of_nothing_but_left_out_columns_is_told(table: Path) -> None:
    with pytest.raises(UsageError, match="has no column but those left out"):
        _ = load(table, ignore=["id", "weight", "colour", "code", "broken"]).parts


def test_text_in_a_column_of_numbers_is_told(table: Path) -> None:
    preprocessing = load(table).parts.preprocessing
    frame = pd.DataFrame({"weight": ["a"], "colour": ["b"], "code": [1], "broken": ["True"]})
    with pytest.raises(UsageError, match="column weight has to be numbers"):
        preprocessing.features(frame)


def classes_of(tmp_path: Path, written: list[str], **settings: Any) -> list[Any]:
    path = tmp_path / "t.csv"
    rows = [f"{i},{written[i % len(written)]}" for i in range(12 * len(written))]
    path.write_text("x,y\n" + "\n".join(rows) + "\n")
    return Table(str(path), "y", **settings).parts.preprocessing.classes


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        (["NA", "None", "null", "nan"], ["NA", "None", "nan", "null"]),
        (["01", "1"], ["01", "1"]),
        (["1", "1.0"], ["1", "1.0"]),
        (["10", "9"], [9, 10]),
        (["0.5", "1e3"], ["0.5", "1e3"]),
        (["1.5", "0.5"], [0.5, 1.5]),
        (["True", "False"], [False, True]),
        (["true", "false"], ["false", "true"]),
        (["a", "a ", "A"], ["A", "a", "a "]),
        ([str(2**53), str(2**53 + 1)], [2**53, 2**53 + 1]),
        ([str(2**64), "1"], ["1", str(2**64)]),
    ],
)
def test_a_class_is_the_text_that_was_written(
    words: list[str], classes: list[Any], tmp_path: Path
) -> None:
    assert classes_of(tmp_path, words) == classes


def test_words_that_are_said_to_be_missing_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.target=y: is missing in 12 rows"):
        classes_of(tmp_path, ["NA", "a", "b"], na_values=["NA"])
    assert classes_of(tmp_path, ["a ", "A", "b"], words="folded") == ["a", "b"]


def test_a_category_without_rows_is_no_class(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(24), "y": pd.Categorical(["a", "b"] * 12, ["a", "b", "c"])})
    frame.to_parquet(tmp_path / "t.parquet")
    data = Table(str(tmp_path / "t.parquet"), "y")
    assert data.parts.preprocessing.classes == ["a", "b"]


def test_an_index_with_a_name_is_a_column_and_one_without_is_none(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(24), "y": ["a", "b"] * 12})
    path = tmp_path / "t.parquet"
    frame.set_index("y").to_parquet(path)
    assert [c.name for c in Table(str(path), "y").parts.preprocessing.columns] == ["x"]
    frame.iloc[::-1].to_parquet(path)
    assert [c.name for c in Table(str(path), "y").parts.preprocessing.columns] == ["x"]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (2, "2"),
        (1.0, "1.0"),
        (1000.0, "1e3"),
        (True, "true"),
        (None, "null"),
        ("007", "007"),
        (float("nan"), "nan"),
    ],
)
def test_a_name_that_is_typed_as_a_number_is_the_column_called_so(typed: Any, name: str) -> None:
    names = ["2", "1.0", "1e3", "true", "null", "007", "nan"]
    assert meant(typed, names, "data.target", "t.csv") == name


def test_a_name_that_two_columns_may_have_is_told_and_odd_ones_are_quoted() -> None:
    with pytest.raises(
        UsageError, match=r"data\.target=100\.0: may be any of the columns 1e2, 10e1 of"
    ):
        meant(100.0, ["1e2", "10e1"], "data.target", "t.csv")
    with pytest.raises(UsageError, match=r"did you mean ' a'\?"):
        meant("a", [" a", "b"], "data.target", "t.csv")


def test_columns_of_one_name_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,x,y\n" + "1,2,a\n1,2,b\n" * 9)
    with pytest.raises(UsageError, match="2 columns are called x; rename all but one"):
        _ = Table(str(path), "y").parts
    assert Table(str(path), "y", ignore=["x"]).source.ignore == ["x"]


@pytest.mark.parametrize("value", [np.inf, 1e308, 1e39, -1e300, 1e20])
def test_a_number_too_large_counts_as_missing_in_every_part(value: float) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, value]})
    (column,) = learn(frame.iloc[:2], [Column("a")], 9)
    assert Preprocessing([column], [0, 1]).features(frame).tolist() == [[-1.0], [1.0], [0.0]]
    if abs(value) > 1e38:
        (column,) = learn(frame, [Column("a")], 9)
        assert (column.mean, column.scale, column.flag) == (1.5, 0.5, True)
        features = Preprocessing([column], [0, 1]).features(frame)
        assert features.tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("unit", [5e-324, 1e-300, 1e-20, 1.0, 1e30, 1e38])
def test_numbers_of_any_size_are_scaled(unit: float) -> None:
    frame = pd.DataFrame({"a": [unit, 3 * unit]})
    features = Preprocessing(learn(frame, [Column("a")], 9), [0, 1]).features(frame)
    assert features[:, 0].tolist() == pytest.approx([-1, 1])


def test_a_constant_is_0_and_no_rounding_makes_it_another() -> None:
    frame = pd.DataFrame({"a": [0.1] * 77})
    preprocessing = Preprocessing(learn(frame, [Column("a")], 9), [0, 1])
    assert not preprocessing.features(frame).any()
    assert preprocessing.features(pd.DataFrame({"a": [0.6]})).tolist() == [[0.5]]


def test_a_file_of_the_first_schema_is_read_as_it_was(tmp_path: Path) -> None:
    columns = [{"name": "a", "mean": 1.0, "scale": 2.0, "values": None, "flag": True}]
    columns.append({"name": "b", "mean": 0.0, "scale": 1.0, "values": ["1", "x"], "flag": True})
    old = {"columns": columns, "classes": ["n", "y"], "target": "t"}
    (tmp_path / "preprocessing.json").write_text(json.dumps(old))
    preprocessing = Preprocessing.read(tmp_path)
    (tmp_path / "new.csv").write_text("b,a\nNA,NA\n1.0,3\n")
    table = read_table(tmp_path / "new.csv", preprocessing.format)
    assert preprocessing.features(table).tolist() == [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]]
    (tmp_path / "preprocessing.json").write_text(json.dumps({**old, "schema": 99}))
    with pytest.raises(UsageError, match="a newer version"):
        Preprocessing.read(tmp_path)


def test_what_was_decided_is_told_in_short(table: Path) -> None:
    told = load(table, thousands=",").parts.preprocessing.summary()
    assert told == {
        "numbers": "weight, code",
        "categories": "colour (3), broken (2)",
        "left out": "id",
        "read with": "thousands=','",
    }
