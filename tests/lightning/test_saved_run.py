"""Claims about predicting and testing from a saved run alone."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from caviar import UsageError
from caviar.lightning.arguments import NEEDED, command, parse
from project import predict as predict_module
from project import test as test_module

Train = Callable[..., Any]


@pytest.fixture
def table_run(train: Train, table: Path) -> Any:
    return train(
        "data=table",
        f"data.path='{table}'",
        "data.target=kind",
        "data.ignore=[id]",
        "trainer.max_epochs=10",
        "data.batch_size=16",
    )


def predict(run: Any, data: Path, out: Path) -> pd.DataFrame:
    predict_module.predict(str(run.folder), str(data), str(out))
    return pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out)


def test_predictions_come_from_the_run_alone_with_gaps_and_unseen_categories(
    table_run: Any, table: Path, tmp_path: Path
) -> None:
    table.unlink()  # what it was trained on is gone
    new = tmp_path / "new.csv"
    new.write_text("broken,colour,weight,code\nTrue,purple,,1\n,,20.5,\nFalse,grey,0.4,02\n")
    out = predict(table_run, new, tmp_path / "out.csv")
    assert len(out) == 3
    columns = ["class", "probability_clam", "probability_mussel", "probability_oyster"]
    assert list(out.columns) == columns
    assert out[columns[1:]].sum(axis=1).tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    assert out["class"].tolist()[1:] == ["oyster", "clam"]


def test_string_targets_are_mapped_back(table_run: Any, table: Path, tmp_path: Path) -> None:
    out = predict(table_run, table, tmp_path / "out.parquet")
    truth = pd.read_csv(table).kind
    assert (out["class"] == truth).mean() > 0.8
    best = out.drop(columns="class").idxmax(axis=1).str.removeprefix("probability_")
    assert (best == out["class"]).all()


def test_numbers_as_targets_come_back_as_numbers(train: Train, tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("x,y\n" + "".join(f"{i},{10 + i % 2}\n" for i in range(40)))
    settings = ("data.target=y", "trainer.max_epochs=1", "data.batch_size=8")
    run = train("data=table", f"data.path='{path}'", *settings)
    out = predict(run, path, tmp_path / "out.csv")
    assert set(out["class"]) <= {10, 11}


def test_a_run_on_made_up_data_predicts_too(
    train: Train, short: tuple[str, ...], tmp_path: Path
) -> None:
    new = tmp_path / "new.csv"
    new.write_text("x0,x1\n0.5,1\n")
    assert len(predict(train(*short), new, tmp_path / "out.csv")) == 1


def test_nothing_is_written_over(table_run: Any, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"out\.csv: exists already"):
        predict(table_run, table, out)
    assert out.read_text() == "mine"


def test_a_missing_column_is_told(table_run: Any, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text("broken,colour,code\nTrue,grey,1\n")
    with pytest.raises(UsageError, match="no column weight"):
        predict(table_run, new, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("run", "data", "out", "line"),
    [
        ("{run}", "{dir}/none.csv", "{dir}/o.csv", "data={dir}/none.csv: no such file"),
        ("{run}", "{dir}/empty.csv", "{dir}/o.csv", "data={dir}/empty.csv: the table has no rows"),
        ("{run}", "{table}", "{dir}/o.txt", "out={dir}/o.txt: not a .csv or .parquet file"),
        ("{run}", "{table}", "{dir}/no/o.csv", "out={dir}/no/o.csv: its folder does not exist"),
        ("{dir}", "{table}", "{dir}/o.csv", "{dir}: not a run folder (it has no result.json)"),
    ],
)
def test_bad_arguments_are_told(
    run: str, data: str, out: str, line: str, table_run: Any, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").write_text("weight,colour\n")
    places = {"run": table_run.folder, "dir": tmp_path, "table": table}
    with pytest.raises(UsageError) as told:
        predict_module.predict(*(text.format(**places) for text in (run, data, out)))
    assert str(told.value).startswith(line.format(**places))


def spoil(run: Any, **fields: Any) -> None:
    path = run.folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_checkpoint_outside_the_run_is_refused(
    train: Train, short: tuple[str, ...], tmp_path: Path
) -> None:
    run = train(*short)
    (tmp_path / "other.ckpt").write_bytes(run.best.read_bytes())
    spoil(run, checkpoint="../other.ckpt")
    with pytest.raises(UsageError, match="lies outside it"):
        test_module.test(str(run.folder))


def test_a_checkpoint_that_is_gone_or_unreadable_or_was_never_kept_is_told(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(*short)
    run.best.write_bytes(run.best.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"best\.ckpt is damaged"):
        test_module.test(str(run.folder))
    run.best.unlink()
    with pytest.raises(UsageError, match="is gone"):
        test_module.test(str(run.folder))
    spoil(run, checkpoint=None)
    with pytest.raises(UsageError, match="kept no checkpoint"):
        test_module.test(str(run.folder))


def test_what_a_checkpoint_says_beside_its_tensors_is_not_read(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(*short)
    expected = test_module.test(str(run.folder))
    content = torch.load(run.best, weights_only=True)
    content["hyper_parameters"] = {
        "network": {"_target_": "os.system"},
        "_instantiator": "os.system",
    }
    torch.save(content, run.best)
    assert test_module.test(str(run.folder)) == expected


def test_testing_evaluates_the_test_part_and_records_it(
    train: Train, short: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run, tested = train(*short), train(*short, "test=true")
    assert "tested" not in json.loads((run.folder / "result.json").read_text())["facts"]
    metrics = test_module.test(str(run.folder))
    facts = json.loads((run.folder / "result.json").read_text())["facts"]
    assert facts["tested"] is True
    assert facts["test"] == metrics == tested.facts["test"]
    assert "test/acc=" in capsys.readouterr().out


def test_data_that_has_changed_since_is_not_tested_on(table_run: Any, table: Path) -> None:
    frame = pd.read_csv(table, dtype=str)
    frame["weight"] = "1.0"
    frame.to_csv(table, index=False)
    with pytest.raises(UsageError, match="data has changed"):
        test_module.test(str(table_run.folder))


def test_arguments_are_key_equals_value() -> None:
    defaults = {"run": NEEDED, "out": "o.csv"}
    assert parse(["run=a=b"], "usage", defaults) == {"run": "a=b", "out": "o.csv"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rum=a"], "argument=rum: no such argument; did you mean run? (one of: run, out)"),
        (["run"], "run: write it as run=VALUE"),
        ([], "run: has to be given; usage: first line"),
    ],
)
def test_wrong_arguments_are_told(words: list[str], line: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(words, "first line\nsecond", {"run": NEEDED, "out": "o.csv"})
    assert str(told.value) == line


def test_a_command_ends_with_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", f"run={tmp_path}", "data=a.csv"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        command(
            predict_module.predict,
            predict_module.USAGE,
            {"run": NEEDED, "data": NEEDED, "out": "predictions.csv"},
        )
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_help_tells_the_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["test", "--help"])
    command(test_module.test, test_module.USAGE, {"run": NEEDED})
    assert "run=PATH" in capsys.readouterr().out


def test_a_word_in_quotes_is_what_hydra_takes_it_for() -> None:
    defaults = {"run": NEEDED, "out": "o.csv", "na_values": None}
    read = parse(["run='a b/1'", "out='a,b.csv'", "na_values=['?',NA]"], "usage", defaults)
    assert read == {"run": "a b/1", "out": "a,b.csv", "na_values": ["?", "NA"]}
    for name in ("1e3", "a,b", "é=1", "a b"):
        assert parse([f"run={name}"], "usage", defaults)["run"] == name
    with pytest.raises(UsageError, match="run='a: "):
        parse(["run='a"], "usage", defaults)


def test_new_files_of_any_kind_are_read_as_training_read_its_own(
    table_run: Any, table: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(table, dtype={"code": str})
    expected = predict(table_run, table, tmp_path / "out.csv")
    reordered = frame[frame.columns[::-1]].assign(more=1).drop(columns="kind")
    reordered.to_parquet(tmp_path / "new.parquet")
    reordered.to_csv(tmp_path / "new.tsv", sep="\t", index=False)
    trailing = table.read_text().replace("\n", ",\n").replace("kind,\n", "kind\n", 1)
    (tmp_path / "trailing.csv").write_text(trailing)
    for name in ("new.parquet", "new.tsv", "trailing.csv"):
        found = predict(table_run, tmp_path / name, tmp_path / f"{name}.csv")
        assert found.equals(expected), name
    comma = table.read_text().replace(",", ";").replace(".", ",")
    (tmp_path / "comma.csv").write_text(comma)
    predict_module.predict(
        str(table_run.folder), str(tmp_path / "comma.csv"), str(tmp_path / "c.csv"), decimal=","
    )
    assert pd.read_csv(tmp_path / "c.csv").equals(expected)


def test_no_class_is_predicted_without_its_probability(
    table_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.csv"
    rows = [f"True,grey,{weight},1" for weight in ("1e308", "-1e39", "inf", "1e37", "1e15", "5")]
    new.write_text("broken,colour,weight,code\n" + "\n".join(rows) + "\n")
    out = predict(table_run, new, tmp_path / "out.csv")
    assert out.notna().to_numpy().all()
    said = capsys.readouterr().err
    assert "warning: column weight: 1e308 in row 1, and 3 more, is too large, and counts as" in said
