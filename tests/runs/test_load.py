"""`caviar.load`: a sweep as tables, whatever lies in its folder."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import caviar
from caviar.space.grammar import as_text, read
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG
from tests.made_up import make_sweep


def result_of(sweep: Path, number: int) -> Path:
    return sweep / "trials" / f"{number:04}" / "result.json"


def test_a_sweep_reads_as_a_table_of_trials(tmp_path: Path):
    sweep = caviar.load(make_sweep(tmp_path / "first", 10))
    assert list(sweep.trials["state"]) == [
        *["COMPLETE"] * 3,
        "FAIL",
        "COMPLETE",
        "PRUNED",
        "COMPLETE",
        "PRUNED",
        "COMPLETE",
        "RUNNING",
    ]
    assert list(sweep.trials.columns) == [
        "state",
        "value",
        "best_epoch",
        "seconds",
        "started",
        "seed",
        "checkpoint",
        "error",
        "retry_of",
        "optimizer.lr",
        "model.width",
        "model.activation",
    ]
    assert sweep.trials.index.name == "trial"
    assert sweep.trials["optimizer.lr"].between(1e-4, 1e-1).all()
    assert sweep.trials["value"].isna().sum() == 2
    assert (sweep.directions, sweep.metric) == (["maximize"], "val/acc")
    assert not sweep.problems


def test_metrics_of_all_trials_stand_in_one_table(tmp_path: Path):
    metrics = caviar.load(make_sweep(tmp_path / "first", 10, epochs=4)).metrics
    assert list(metrics.columns) == ["trial", "epoch", "step", "train/loss", "val/acc"]
    assert metrics.groupby("trial").size().to_dict() == {
        **dict.fromkeys((0, 1, 2, 4, 6, 8), 4),
        **dict.fromkeys((3, 5, 7, 9), 2),
    }


def test_metrics_of_trials_with_other_columns_are_missing_not_shifted(tmp_path: Path):
    folder = make_sweep(tmp_path / "first", 3, epochs=1)
    for number, text in ((0, "epoch,step,a\n0,9,1.5\n"), (2, "step,b,epoch\n7,inf,3\n")):
        (result_of(folder, number).parent / "metrics.csv").write_text(text)
    metrics = caviar.load(folder).metrics.set_index("trial")
    assert metrics.loc[0, ["epoch", "step", "a"]].tolist() == [0, 9, 1.5]
    assert metrics.loc[2, ["epoch", "step", "b"]].tolist() == [3, 7, math.inf]
    assert metrics["a"].isna().tolist() == [False, True, True]


def test_without_any_metrics_there_is_an_empty_table(tmp_path: Path):
    sweep = caviar.load(make_sweep(tmp_path / "first", 2, epochs=0))
    assert list(sweep.metrics.columns) == ["trial", "epoch", "step"]
    assert sweep.metrics.empty


def test_a_sweep_that_has_not_begun_is_empty(tmp_path: Path):
    sweep = caviar.load(make_sweep(tmp_path / "first", 0))
    assert sweep.trials.empty
    assert sweep.metrics.empty
    assert "optimizer.lr" in sweep.trials.columns


def test_several_objectives_have_a_column_each(tmp_path: Path):
    sweep = caviar.load(
        make_sweep(
            tmp_path / "two", 2, direction=["minimize", "maximize"], value=lambda p: [1.0, 2.0]
        )
    )
    assert sweep.trials[["value_0", "value_1"]].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_what_cannot_be_read_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = make_sweep(tmp_path / "first", 8)
    result_of(folder, 0).write_text('{"state": "COMPL')
    result_of(folder, 1).write_text("[1, 2]")
    result_of(folder, 2).unlink()
    (folder / "trials" / "notes.txt").write_text("mine")
    (folder / "trials" / ".hidden").mkdir()
    metrics = folder / "trials" / "0004" / "metrics.csv"
    metrics.write_text(metrics.read_text() + "1,2,3,4,5\n7,8,0.")
    (folder / "trials" / "0006" / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    sweep = caviar.load(folder)
    assert list(sweep.trials.index) == [3, 4, 5, 6, 7]
    assert sweep.metrics.groupby("trial").size().to_dict() == {
        0: 4, 1: 4, 2: 4, 3: 2, 4: 4, 5: 2, 7: 2,
    }  # fmt: skip
    for name in ("0000", "0001", "0002", "notes.txt", "0004/metrics.csv", "0006/metrics.csv"):
        assert any(name in problem for problem in sweep.problems), name
    assert len(sweep.problems) == 6
    assert caplog.messages == sweep.problems


def test_strange_values_do_no_harm(tmp_path: Path):
    strange = ["nan", "inf", "-inf", "soon", [1, 2], None, {"a": 1}, True]
    folder = make_sweep(tmp_path / "first", len(strange))
    for number, value in enumerate(strange):
        data = json.loads(result_of(folder, number).read_text())
        data.update(value=value, seconds=value, best_epoch=value, seed=value, started=value)
        result_of(folder, number).write_text(json.dumps(data))
    trials = caviar.load(folder).trials
    assert trials["value"].tolist()[1:3] == [math.inf, -math.inf]
    assert trials["value"].isna().tolist()[3:7] == [True, False, True, True]


def test_a_checkpoint_outside_of_the_sweep_is_not_believed(tmp_path: Path):
    folder = make_sweep(tmp_path / "first", 2)
    (tmp_path / "secret").touch()
    data = json.loads(result_of(folder, 0).read_text())
    result_of(folder, 0).write_text(json.dumps({**data, "checkpoint": "../../../secret"}))
    sweep = caviar.load(folder)
    assert sweep.run(0).checkpoint is None
    assert sweep.trials["checkpoint"].isna().tolist() == [True, False]
    assert sweep.run(1).checkpoint == folder / "trials/0001/checkpoints/best.ckpt"
    assert any("secret" in problem for problem in sweep.problems)


def test_a_run_hands_over_its_files(tmp_path: Path):
    run = caviar.load(make_sweep(tmp_path / "first", 4)).run(3)
    assert run.result.state == "FAIL"
    assert run.config["optimizer"]["lr"] == run.result.params["optimizer.lr"]
    assert run.overrides[0].startswith("optimizer.lr=")
    assert list(run.metrics.columns) == ["epoch", "step", "train/loss", "val/acc"]
    assert "Traceback" in run.log.read_text()


def test_a_hyperparameter_may_be_called_like_another_column(tmp_path: Path):
    space = {"value": "interval(0.0, 1.0)", "seed": "range(0, 5)"}
    sweep = caviar.load(make_sweep(tmp_path / "first", 3, space=space, value=lambda p: 7.0))
    assert (sweep.trials["value"] == 7).all()
    assert sweep.trials[sweep.column("value")].between(0, 1).all()
    assert sweep.trials[sweep.column("seed")].between(0, 4).all()


def test_a_hyperparameter_that_did_not_exist_is_missing(tmp_path: Path):
    space = {"model": "choice(mlp, linear)", "+model.width": "range(1, 5)"}
    when = {"+model.width": {"model": ["mlp"]}}
    sweep = caviar.load(make_sweep(tmp_path / "a", 20, space=space, when=when, value=lambda p: 1.0))
    assert (sweep.trials["model.width"].notna() == (sweep.trials["model"] == "mlp")).all()
    assert sweep.space.conditions == {"+model.width": {"model": ("mlp",)}}


def test_no_such_sweep_is_one_line(tmp_path: Path):
    with pytest.raises(caviar.UsageError, match="no sweep is called so"):
        caviar.load(tmp_path / "nowhere")


words = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)
options = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
    | st.lists(st.integers(), max_size=3),
    min_size=2, max_size=5, unique_by=repr,
)  # fmt: skip


@given(options)
def test_a_choice_is_read_back_as_it_was_written(options: list):
    choice = Choice("x", tuple(options))
    assert read({"x": as_text(choice)}, []).hyperparameters == [choice]


@pytest.mark.parametrize(
    "hyperparameter",
    [
        Interval("x", 1e-5, 0.1, LOG),
        Interval("x", 16, 256, LOG, integer=True),
        Interval("x", 0.9, 0.999, REVERSE_LOG),
        Interval("x", -1, 3, LINEAR, integer=True),
        Range("x", 0.1, 0.7, 0.1),
        Range("x", 1, 9, 2),
    ],
    ids=str,
)
def test_numbers_are_read_back_as_they_were_written(hyperparameter):
    assert read({"x": as_text(hyperparameter)}, []).hyperparameters == [hyperparameter]


def test_loading_changes_no_file(tmp_path: Path):
    folder = make_sweep(tmp_path / "first", 3)
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*"))
    sweep = caviar.load(folder)
    assert isinstance(sweep.trials, pd.DataFrame)
    assert len(sweep.metrics)
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*")) == before
