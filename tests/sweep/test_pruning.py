"""Pruning: a trial that others have outdone ends early, keeps its folder, and frees its lane."""

import pytest

from tests.apps import CONFIG, make_app

CURVES = """
import hydra, time
import caviar

def curve(x, step):
    return x + (step if x > 0 else 0)  # a bad trial gets worse

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    for step in range(config.steps):
        caviar.report(curve(config.x, step), step)
        if config.slow and config.x > 0:
            time.sleep(0.05)  # long enough for the answer to a report to arrive
    caviar.record(steps=config.steps)
    return config.x

if __name__ == "__main__":
    main()
"""

PRUNERS = {
    "median": ["hydra.sweeper.pruner.n_startup_trials=2"],
    "asha": [],
    "hyperband": ["hydra.sweeper.pruner.max_resource=20"],
    "threshold": ["hydra.sweeper.pruner.upper=0"],
    "patient": ["hydra.sweeper.pruner.patience=2"],
}


@pytest.fixture
def app(tmp_path):
    return make_app(tmp_path / "app", CURVES, CONFIG + "steps: 20\nslow: true\n")


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("executor", ["local", "inline"])
def test_every_pruner_ends_bad_trials_early_and_spares_good_ones(app, pruner, executor):
    done = app.sweep(
        f"hydra/sweeper/pruner={pruner}",
        *PRUNERS[pruner],
        f"hydra/sweeper/executor={executor}",
        "hydra.sweeper.n_trials=12",
        "hydra.sweeper.sampler.seed=1",
    )
    assert done.status == 0, done.out + done.err
    trials = app.study().trials
    states = {trial.number: trial.state.name for trial in trials}
    assert set(states.values()) <= {"COMPLETE", "PRUNED"}
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned
    for trial, result in zip(trials, app.results(), strict=True):
        assert result["state"] == states[trial.number]
        if trial in pruned:
            assert len(trial.intermediate_values) < 20
            last = trial.intermediate_values[max(trial.intermediate_values)]
            assert result["value"] == trial.value == last
            assert "steps" not in result["facts"]
    if pruner != "hyperband":  # it has several brackets, and the best of one may be poor
        best = min(trials, key=lambda trial: trial.params["x"])
        assert states[best.number] == "COMPLETE"


@pytest.mark.fast
def test_a_pruned_trial_stops_at_the_report_after_the_one_that_condemned_it(app):
    app.sweep(
        "hydra/sweeper/pruner=threshold",
        "hydra.sweeper.pruner.upper=0",
        "hydra.sweeper.n_trials=10",
        "hydra.sweeper.sampler.seed=1",
    )
    pruned = [trial for trial in app.study().trials if trial.state.name == "PRUNED"]
    assert pruned
    assert all(len(trial.intermediate_values) <= 2 for trial in pruned)


def test_the_tasks_own_optuna_pruning_is_understood(tmp_path):
    code = CURVES.replace("return config.x", "import optuna; raise optuna.TrialPruned")
    app = make_app(tmp_path / "app", code, CONFIG + "steps: 2\nslow: false\n")
    done = app.sweep("hydra.sweeper.n_trials=2")
    assert done.status == 0, done.out
    assert {trial.state.name for trial in app.study().trials} == {"PRUNED"}


def test_without_a_pruner_the_curves_are_in_the_study_all_the_same(app):
    app.sweep("slow=false", "hydra.sweeper.n_trials=2")
    for trial in app.study().trials:
        x = trial.params["x"]
        assert trial.intermediate_values == {n: x + (n if x > 0 else 0) for n in range(20)}


def test_several_objectives_are_not_pruned_and_that_is_said_first(app):
    done = app.sweep("hydra/sweeper/pruner=median", "hydra.sweeper.direction=[minimize,maximize]")
    assert done.status == 2
    assert "several objectives cannot be pruned" in done.err


def test_a_pruner_that_cannot_be_made_is_refused_and_nothing_is_left(app):
    done = app.sweep("hydra/sweeper/pruner=threshold")
    assert done.status == 2
    assert done.err.startswith("error: hydra.sweeper.pruner: ")
    assert done.err.count("\n") == 1
    assert not (app.folder / "sweep").exists()
