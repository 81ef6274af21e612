"""A sweep read back from its folder, whatever state that is in."""

import json
import logging
import math
import os

import pandas as pd
import pytest

import caviar
from caviar.reading.find import best_run
from caviar.reading.sweep import Sweep
from caviar.reports.html import write_report
from caviar.runs.folder import Result
from caviar.space.grammar import read
from caviar.space.hyperparameters import Interval
from tests.made_up import SPACE, make_run, make_sweep

pytestmark = pytest.mark.fast

STATES = {1: "PRUNED", 2: "FAIL", 3: "RUNNING"}


def test_trials_are_a_table_by_number(tmp_path):
    sweep = caviar.load(make_sweep(tmp_path / "s", n_trials=5, states=STATES))
    trials = sweep.trials
    assert list(trials.columns) == [
        *("state", "value", "best_epoch", "seconds", "worker_seconds", "started", "seed"),
        *("edits", "checkpoint", "error"),
        *SPACE,
    ]
    assert list(trials.index) == [0, 1, 2, 3, 4]
    assert list(trials.state) == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "COMPLETE"]
    assert list(trials.value.isna()) == [False, False, True, True, False]
    assert (trials.value == trials["optimizer.lr"])[[0, 1, 4]].all()
    assert trials["model.width"].dtype == "int64"
    assert trials.started.dt.tz is not None
    assert trials.error[2].startswith("FloatingPointError")


def test_an_error_that_names_a_file_whose_name_is_no_text_is_read_all_the_same(tmp_path):
    folder = make_sweep(tmp_path / "s", n_trials=2)
    name = os.fsdecode(b"photo-\xff.png")
    Result("FAIL", 1, error=f"FileNotFoundError: {name}").write(folder / "trials" / "0001")
    sweep = caviar.load(folder)
    assert sweep.trials.error[1] == "FileNotFoundError: photo-?.png"
    write_report([sweep], tmp_path / "report.html")
    assert "photo-?.png" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("name", "value"), [("params", [1]), ("facts", "x")])
def test_a_result_with_a_list_where_a_mapping_belongs_is_left_out_and_told(tmp_path, name, value):
    folder = make_sweep(tmp_path / "s", n_trials=3)
    file = folder / "trials" / "0001" / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    sweep = caviar.load(folder)
    assert list(sweep.trials.index) == [0, 2]
    assert sweep.problems == [f"{file}: {name}={value!r}: must be a mapping"]


def test_metrics_are_one_table(tmp_path):
    sweep = caviar.load(make_sweep(tmp_path / "s", n_trials=5, states=STATES, epochs=4))
    metrics = sweep.metrics
    assert list(metrics.columns) == ["trial", "epoch", "step", "train/loss", "val/acc"]
    assert metrics.groupby("trial").size().to_dict() == {0: 4, 1: 1, 3: 1, 4: 4}
    last = metrics[metrics.epoch == 3].set_index("trial")["val/acc"]
    assert (last == sweep.trials.value[[0, 4]]).all()


def test_without_metrics_the_table_is_empty_and_has_its_columns(tmp_path):
    for folder in (make_sweep(tmp_path / "a", epochs=0), make_sweep(tmp_path / "b", n_trials=0)):
        sweep = caviar.load(folder)
        assert list(sweep.metrics.columns) == ["trial", "epoch", "step"]
        assert sweep.metrics.empty
        assert list(sweep.trials.columns[-4:]) == list(SPACE)


def test_settings_and_space_come_back(tmp_path):
    when = {"optimizer.momentum": {"model.activation": "relu"}}
    sweep = caviar.load(make_sweep(tmp_path / "s", when=when))
    written = {h.name: h for h in read(SPACE, []).hyperparameters}
    assert {h.name: h for h in sweep.space.hyperparameters} == written
    width = next(h for h in sweep.space.hyperparameters if h.name == "model.width")
    assert isinstance(width, Interval)
    assert width.integer
    assert sweep.space.conditions == {"optimizer.momentum": {"model.activation": ("relu",)}}
    assert (sweep.metric, sweep.directions) == ("val/acc", ["maximize"])
    relu = sweep.trials["model.activation"] == "relu"
    assert (sweep.trials["optimizer.momentum"].notna() == relu).all()
    assert 0 < relu.sum() < len(relu)


def test_several_objectives_have_a_column_each(tmp_path):
    sweep = caviar.load(
        make_sweep(tmp_path / "s", lambda p: [1.0, 2.0], direction=["minimize", "maximize"])
    )
    assert sweep.directions == ["minimize", "maximize"]
    assert set(sweep.trials.value_0) == {1.0}
    assert set(sweep.trials.value_1) == {2.0}


def test_a_run_gives_its_config_overrides_metrics_and_checkpoint(tmp_path):
    folder = make_sweep(tmp_path / "s", n_trials=4, states=STATES)
    run = caviar.load(folder).run(0)
    assert run.config["optimizer"]["lr"] == run.result.params["optimizer.lr"]
    assert f"model.activation={run.result.params['model.activation']}" in run.overrides
    assert list(run.metrics.columns[:2]) == ["epoch", "step"]
    assert run.checkpoint == folder / "trials/0000/checkpoints/best.ckpt"
    assert run.log.read_text().startswith("training")
    assert caviar.load(folder).run(2).checkpoint is None
    assert caviar.load_run(f"{folder}/0").result == run.result
    with pytest.raises(caviar.UsageError, match="run=s/9: no such trial"):
        caviar.load(folder).run(9)


def test_a_checkpoint_outside_its_run_is_none(tmp_path):
    (tmp_path / "secret").write_text("x")
    folder = make_run(tmp_path / "run")
    for path in ("../secret", str(tmp_path / "secret"), "checkpoints/gone.ckpt"):
        result = Result.read(folder)
        result.checkpoint = path
        result.write(folder)
        assert caviar.load_run(folder).checkpoint is None


def test_what_cannot_be_read_is_skipped_and_named(tmp_path, caplog):
    folder = make_sweep(tmp_path / "s", n_trials=14)
    trials = folder / "trials"
    (trials / "0001/result.json").write_text('{"state": "COMPL')
    (trials / "0002/result.json").write_text("[1, 2]")
    (trials / "0003/result.json").write_text('{"number": 3}')
    (trials / "0004/result.json").write_bytes(b"\xff\xfe")
    (trials / "0005/result.json").unlink()
    (trials / "0006/result.json").write_text('{"schema": 99, "state": "COMPLETE"}')
    (trials / "0007/metrics.csv").write_bytes(b"epoch,step\n\xff,1\n")
    (trials / "0008/metrics.csv").write_text("epoch,step\n0,1\n0,1,2\n")
    (trials / "0009/metrics.csv").write_text("epoch,step,val/acc\n0,1,high\n")
    (trials / "0010/config.yaml").write_text("a: [")
    (trials / "0011/metrics.csv").write_text("")
    (trials / "copy").mkdir()
    (trials / "copy/result.json").write_text((trials / "0000/result.json").read_text())
    (trials / "notes.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        sweep = caviar.load(folder)
        assert list(sweep.trials.index) == [0, *range(7, 14)]
        assert set(sweep.metrics.trial) == {0, 10, 12, 13}
        assert sweep.run(10).config == {}
    named = [f"{number:04}" for number in range(1, 10)] + ["copy"]
    for name, problem in zip(sorted(named), sorted(sweep.problems), strict=True):
        assert name in problem
        assert "\n" not in problem
    assert "0001" in caplog.text


def test_a_number_that_is_still_being_written_is_not_believed(tmp_path):
    folder = make_sweep(tmp_path / "s", n_trials=1, epochs=2)
    path = folder / "trials/0000/metrics.csv"
    path.write_text("epoch,step,val/acc\n0,9,0.5\n1,19,0.1")
    assert list(caviar.load(folder).metrics["val/acc"]) == [0.5]


def test_nan_infinity_and_odd_values_are_read_as_what_they_are(tmp_path):
    folder = make_sweep(tmp_path / "s", n_trials=5, epochs=1)
    for number, value in enumerate([float("nan"), float("inf"), "high", [1, 2], 1]):
        path = folder / f"trials/{number:04}"
        result = Result.read(path)
        result.value, result.best_epoch = value, value if number != 3 else 1.5  # type: ignore[assignment]
        result.write(path)
        (path / "metrics.csv").write_text("epoch,step,val/acc\n0,1,nan\n1,2,-inf\n2,,\n")
    sweep = caviar.load(folder)
    values = list(sweep.trials.value)
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert math.isnan(values[2])
    assert values[4] == 1
    assert sweep.trials.best_epoch.isna().sum() == 4
    assert list(sweep.metrics["val/acc"][:2].map(str)) == ["nan", "-inf"]


def test_a_sweep_file_that_cannot_be_read_leaves_the_trials(tmp_path):
    known = "direction: minimize\n"
    for text in ("space: [", "- 1\n", f"{known}space: {{x: 'interval(2, 1)'}}", f"{known}space: 3"):
        folder = make_sweep(tmp_path / str(len(list(tmp_path.iterdir()))), n_trials=2)
        (folder / "sweep.yaml").write_text(text)
        sweep = caviar.load(folder)
        assert len(sweep.trials) == 2
        assert sweep.space.hyperparameters == ()
        assert len(sweep.problems) == 1


def test_a_hyperparameter_called_like_a_column_has_another_name(tmp_path):
    space = {"seed": "choice(1, 2)", "+state": "choice(a, b)"}
    sweep = caviar.load(make_sweep(tmp_path / "s", lambda p: 1.0, space=space, n_trials=3))
    assert set(sweep.trials.state) == {"COMPLETE"}
    assert set(sweep.trials["params.state"]) <= {"a", "b"}
    assert sweep.column("+state") == "params.state"
    assert sweep.column("lr") == "lr"


def test_lists_and_null_are_values(tmp_path):
    space = {"hidden": "choice([64, 32], [128])", "clip": "null,1.0"}
    sweep = caviar.load(make_sweep(tmp_path / "s", lambda p: 1.0, space=space, n_trials=12))
    assert {json.dumps(v) for v in sweep.trials.hidden} == {"[64, 32]", "[128]"}
    assert {None if pd.isna(v) else v for v in sweep.trials["clip"]} == {None, 1.0}


def test_a_sweep_read_whole_refuses_what_else_is_skipped(tmp_path):
    folder = make_sweep(tmp_path / "s", n_trials=3)
    assert Sweep.whole(folder).numbers == [0, 1, 2]
    (folder / "trials/0001/result.json").unlink()  # asked for, and not begun
    assert Sweep.whole(folder).numbers == [0, 2]
    file = folder / "trials/0002/result.json"
    file.write_text("{")
    with pytest.raises(caviar.UsageError, match=str(file)):
        _ = Sweep.whole(folder).numbers
    assert caviar.load(folder).numbers == [0]
    with pytest.raises(caviar.UsageError, match="no such folder"):
        Sweep.whole(tmp_path / "gone")


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_is_the_first_ranked_and_of_equals_the_earliest(tmp_path, direction):
    folder = make_sweep(tmp_path / "s", n_trials=6, direction=direction, states={4: "PRUNED"})
    for number, value in enumerate([1.0, 3.0, 3.0, 1.0, 9.0, math.nan]):
        held = caviar.load(folder).run(number).result
        held.value = value
        held.write(folder / f"trials/{number:04}")
    sweep = Sweep.whole(folder)
    wanted = [0, 3, 1, 2] if direction == "minimize" else [1, 2, 0, 3]
    assert [run.result.number for run in sweep.ranked] == wanted
    assert best_run(folder) == sweep.ranked[0].folder
