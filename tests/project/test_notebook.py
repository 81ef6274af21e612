"""Sweeps and runs in Python: the best, the study, the figures, the module, and a notebook of them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

import caviar
from caviar.lightning.predict import predict
from caviar.runs.folder import Result
from tests.made_up import SPACE, make_run, make_sweep

NOTEBOOK = Path(__file__).resolve().parents[2] / "src/project/sweep.ipynb"


@pytest.mark.fast
def test_a_study_is_the_sweep_as_optuna_sees_it(tmp_path: Path):
    states = {1: "PRUNED", 2: "FAIL"}
    sweep = caviar.load(make_sweep(tmp_path / "s", n_trials=9, states=states))
    study = sweep.study
    assert [t.state.name for t in study.trials[:4]] == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    assert study.direction.name == "MAXIMIZE"
    assert study.best_trial.number == sweep.best.result.number
    for trial in study.trials:
        result = sweep.run(trial.number).result
        held = {h.name: h.from_study(trial.params[h.study_name]) for h in known(sweep, trial)}
        assert held == pytest.approx(result.params)
    assert list(study.trials[0].intermediate_values) == [0, 1, 2]
    assert optuna.importance.get_param_importances(study)


def known(sweep: Any, trial: optuna.trial.FrozenTrial) -> list[Any]:
    return [h for h in sweep.space.hyperparameters if h.study_name in trial.params]


@pytest.mark.fast
def test_figures_are_optunas_by_their_names(tmp_path: Path):
    plot = caviar.load(make_sweep(tmp_path / "s", n_trials=9)).plot
    assert {"slice", "contour", "parallel_coordinate", "param_importances"} <= set(dir(plot))
    assert plot.slice(params=[next(iter(SPACE))]).data
    with pytest.raises(AttributeError, match=r"slise.*slice"):
        plot.slise  # noqa: B018


@pytest.mark.fast
def test_a_run_is_loaded_too_and_shows_nothing_as_html_that_it_holds(tmp_path: Path):
    folder = make_run(tmp_path / "<b>run</b>", params={"name": "<script>"})
    run = caviar.load(folder)
    assert run.folder == folder
    assert "<script>" not in run._repr_html_()
    assert "<b>run</b>" not in run._repr_html_()


@pytest.mark.fast
def test_several_objectives_have_a_study_and_no_best(tmp_path: Path):
    directions = ["minimize", "maximize"]
    sweep = caviar.load(make_sweep(tmp_path / "s", lambda p: [1.0, 2.0], direction=directions))
    assert [way.name.lower() for way in sweep.study.directions] == directions
    assert sweep.study.trials[0].values == [1.0, 2.0]
    with pytest.raises(caviar.UsageError, match="objectives"):
        sweep.best  # noqa: B018


def test_a_table_in_memory_is_predicted_as_its_file_is(
    train: Callable[..., Any], table: Path, tmp_path: Path
):
    trained = train("trainer.max_epochs=1", "data=table", f"data.path={table}", "data.target=kind")
    predict(str(trained.folder), str(table), str(tmp_path / "out.csv"))
    expected = pd.read_csv(tmp_path / "out.csv")
    run = caviar.load(trained.folder)
    found = run.predict(pd.read_csv(table, dtype={"code": str}))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    pd.testing.assert_frame_equal(run.predict(table), found)
    assert not run.module().training


def test_a_table_in_memory_has_no_commas_of_the_file_that_was_trained_on(
    train: Callable[..., Any], tmp_path: Path
):
    rows = pd.DataFrame(
        {"mass": [1000.5 + 17 * i for i in range(90)], "kind": ["a", "b", "c"] * 30}
    )
    german = [f"{mass:,.1f}".translate({44: ".", 46: ","}) for mass in rows["mass"]]
    lines = [f"{mass};{kind}\n" for mass, kind in zip(german, rows["kind"], strict=True)]
    (tmp_path / "german.csv").write_text("mass;kind\n" + "".join(lines))
    table = ("data=table", f"data.path={tmp_path}/german.csv", "data.target=kind")
    written = ("data.sep=';'", "data.decimal=','", "data.thousands='.'")
    run = caviar.load(train("trainer.max_epochs=1", *table, *written).folder)
    pd.testing.assert_frame_equal(run.predict(rows), run.predict(tmp_path / "german.csv"))


def test_the_notebook_runs_from_its_first_cell_to_its_last(
    train: Callable[..., Any], short: tuple[str, ...], tmp_path: Path, monkeypatch
):
    trained = train(*short)
    folder = make_sweep(tmp_path / "outputs/sweeps/one", n_trials=9)
    best = caviar.load(folder).best
    shutil.rmtree(best.folder)  # a trained run takes its place
    shutil.copytree(trained.folder, best.folder)
    checkpoint = Result.read(trained.folder).checkpoint
    replace(best.result, checkpoint=checkpoint).write(best.folder)
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    scope: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), scope)
