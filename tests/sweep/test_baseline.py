"""The baseline: the config as it stands is trial 0, whatever the space, the sampler and a kill may do."""

import json

import pytest

from tests.apps import GUARD, make_app
from tests.waiting import until

CODE = """
import pathlib, time
import caviar

HERE = pathlib.Path(__file__).parent

@caviar.main(config_path="conf", config_name="config")
def main(config):
    caviar.report(config.x, 0)
    while (HERE / "slow").exists():
        time.sleep(0.02)
    return (config.x - 1) ** 2 + config.opt.k
"""

CONFIG = """
defaults:
  - _self_
  - opt: adam
  - override hydra/sweeper: caviar
hydra:
  sweep:
    dir: sweep
  sweeper:
    n_trials: 6
    baseline: true
    sampler:
      seed: 0
    executor:
      workers: 1
      threads: 1
    params:
      x: interval(-5, 5)
      opt: choice(adam, sgd)
      opt.m: interval(0, 1)
    when:
      opt.m: {opt: sgd}
x: 0.5
"""


@pytest.fixture
def app(tmp_path):
    made = make_app(tmp_path / "app", CODE + GUARD, CONFIG)
    group = made.folder / "conf" / "opt"
    group.mkdir()
    (group / "adam.yaml").write_text("k: 1\n")
    (group / "sgd.yaml").write_text("k: 2\nm: 0.5\n")
    return made


def outside(app):
    """The same with a value that the space does not hold."""
    path = app.folder / "conf" / "config.yaml"
    path.write_text(path.read_text().replace("x: 0.5", "x: 7"))


def is_baseline(result):
    return bool(result["facts"].get("baseline"))


def test_the_first_trial_is_the_config_as_it_stands_and_leaves_the_others_what_they_were(app):
    assert app.sweep("hydra.sweep.dir=without", "hydra.sweeper.baseline=false").status == 0
    done = app.sweep()
    assert done.status == 0, done.err
    first, *others = app.results()
    assert (first["value"], first["params"]) == (1.25, {"x": 0.5, "opt": "adam"})
    assert json.loads(json.dumps(first["facts"]))["baseline"] is True
    assert (app.folder / "sweep" / "trials" / "0000" / "overrides.yaml").read_text().strip() == "[]"
    without = app.results("without")
    assert [trial["params"] for trial in others] == [trial["params"] for trial in without[:5]]
    assert not any(map(is_baseline, [*others, *without]))
    assert "* the default: the config as it stands" in done.out
    assert app.study().trials[0].state.name == "COMPLETE"


def test_a_value_outside_the_space_runs_as_it_stands_and_teaches_the_sampler_nothing(app):
    outside(app)
    done = app.sweep("hydra/sweeper/sampler=tpe", "hydra.sweeper.sampler.seed=0")
    assert done.status == 0, done.err
    assert app.results()[0]["value"] == 37
    assert app.results()[0]["params"] == {"x": 7, "opt": "adam"}
    assert "6 complete" in done.out
    assert "0* " in done.out
    trials = app.study().trials
    assert (trials[0].params, trials[0].values) == ({}, None)
    assert all("x" in trial.params for trial in trials[1:])


def test_a_grid_is_whole_behind_it_and_a_pruner_leaves_it_alone(app):
    outside(app)
    done = app.sweep(
        "hydra/sweeper/sampler=grid", "hydra.sweeper.sampler.points=2", "hydra.sweeper.n_trials=null",
        "hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.upper=6",
    )  # fmt: skip
    assert done.status == 0, done.err
    results = app.results()
    assert results[0]["state"] == "COMPLETE"
    drawn = [tuple(sorted(trial["params"].items())) for trial in results[1:]]
    assert len(set(drawn)) == len(drawn) == 6


def test_points_that_are_enqueued_come_after_it(app):
    done = app.sweep("hydra.sweeper.enqueue=[{x:1.5,opt:adam}]")
    assert done.status == 0, done.err
    assert [trial["params"]["x"] for trial in app.results()[:2]] == [0.5, 1.5]


def test_coarse_to_fine_counts_it_and_draws_on_behind_it(app):
    outside(app)
    words = ("hydra/sweeper/sampler=coarse_to_fine", "hydra.sweeper.sampler.seed=0")
    done = app.sweep(*words, "hydra.sweeper.n_trials=12")
    assert done.status == 0, done.err
    assert [is_baseline(trial) for trial in app.results()] == [True, *[False] * 11]


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_one_that_was_killed_is_run_again_as_it_stands(app, where):
    if where == "outside":
        outside(app)
    (app.folder / "slow").touch()
    process = app.start()
    until(
        lambda: (app.folder / "sweep" / "trials" / "0000" / "result.json").exists(),
        "trial 0 begins",
    )
    process.kill()
    process.wait()
    (app.folder / "slow").unlink()
    done = app.resume()
    assert done.status == 0, done.err
    complete = [trial for trial in app.results() if trial["state"] == "COMPLETE"]
    assert len(complete) == 6
    (again,) = filter(is_baseline, complete)
    assert again["value"] == (37 if where == "outside" else 1.25)
    assert app.resume("n_trials=7").status == 0
    assert len([trial for trial in app.results() if trial["state"] == "COMPLETE"]) == 7


def test_a_config_that_cannot_run_as_it_stands_is_told_and_has_none(app):
    path = app.folder / "conf" / "config.yaml"
    path.write_text(path.read_text().replace("x: 0.5", "x: ???"))
    done = app.sweep()
    assert done.status == 0, done.err
    assert "no baseline, as the config cannot be run as it stands: x" in done.out + done.err
    assert len(app.results()) == 6
    assert not any(map(is_baseline, app.results()))
