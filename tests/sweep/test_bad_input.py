"""Bad input: one line that names key, value and the nearest name; status 2; nothing started."""

import pytest

from tests.apps import GUARD, QUADRATIC, make_app

CASES = {
    "unknown hyperparameter": (
        ["xx=interval(0,1)"],
        "xx=interval(0.0, 1.0): the config has no such key",
    ),
    "low >= high": (["x=interval(1,0)"], "x=interval(1.0, 0.0): low must be less than high"),
    "log of zero": (["x=tag(log,interval(0,1))"], "0.0 is not greater than 0, as log asks"),
    "reverse_log of 1": (["x=tag(reverse_log,interval(0.5,1))"], "1.0 is not at least 0 and less"),
    "empty choice": (["hydra.sweeper.params.x='choice()'"], "empty choice is not legal"),
    "unknown scale": (["x=tag(lgo,interval(1,2))"], "did you mean log?"),
    "empty space": (["x=1"], "the space is empty"),
    "n_trials": (["hydra.sweeper.n_trials=0"], "n_trials=0: must be at least 1"),
    "direction": (["hydra.sweeper.direction=minimise"], "did you mean minimize?"),
    "engine": (["hydra.sweeper.engine=sol"], "did you mean solo?"),
    "workers": (["hydra.sweeper.executor.workers=0"], "executor.workers=0: must be at least 1"),
    "when": (["+hydra.sweeper.when={x:{y:1},z:{y:1}}"], "when=z: not in the space"),
    "seed": (["hydra.sweeper.sampler.seed=-1"], "sampler.seed=-1: must be a whole number"),
    "grid points": (
        ["hydra/sweeper/sampler=grid", "hydra.sweeper.sampler.points={xx:3}"],
        "sampler.points=xx: not in the space; did you mean x?",
    ),
    "sampler": (["hydra.sweeper.sampler._target_=os.system"], "_target_=os.system: not allowed"),
    "name": (["hydra.sweep.dir='a b'"], "name=a b: a name is made of"),
    "sampler without its group": (
        ["hydra.sweeper.sampler=grid"],
        "hydra.sweeper.sampler=grid: a config group chooses it: hydra/sweeper/sampler=grid",
    ),
    "pruner without its group": (["hydra.sweeper.pruner=asha"], "hydra/sweeper/pruner=asha"),
    "executor without its group": (["hydra.sweeper.executor=local"], "hydra/sweeper/executor=loc"),
    "setting": (
        ["+hydra.sweeper.n_trails=3"],
        "hydra.sweeper.n_trails=3: no such setting; did you mean n_trials?",
    ),
    "added though it is there": (
        ["+x=choice(1,2)"],
        "+x=choice(1, 2): the config has x already; leave out the +",
    ),
    "mapping": (
        ["+model.w=1", "model=choice(a,b)"],
        "model=choice(a, b): in the config that is a mapping, and no config group has this name",
    ),
    "type": (["+z=1", "z.y=interval(0,1)"], "z.y=interval(0.0, 1.0): the config has no such key"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_line_before_anything_is_written(tmp_path, case):
    overrides, words = CASES[case]
    app = make_app(tmp_path / "app", "print('loaded')\n" + QUADRATIC + GUARD)
    before = sorted(app.folder.rglob("*"))
    done = app.sweep(*overrides)
    assert done.status == 2, done.out + done.err
    assert words in done.err
    assert done.err.count("\n") == 1
    assert done.out == "loaded\n"
    assert [f for f in sorted(app.folder.rglob("*")) if "__pycache__" not in str(f)] == before


def test_a_check_of_the_apps_own_refuses_before_any_worker_starts(tmp_path):
    app = make_app(tmp_path / "app")
    (app.folder / "rules.py").write_text(
        "from caviar import usage_error\n"
        "def check(config, searched):\n"
        "    raise usage_error('y', config.y, f'too small for {searched}', [1, 2])\n"
    )
    space = ["x=interval(0,1)", "+z=int(interval(1,8))"]
    done = app.sweep("hydra.sweeper.check=rules.check", "+allow=[rules.]", *space)
    searched = "{'x': [0.001, 0.999], 'z': [1, 8]}"
    assert done.err == f"error: y=0: too small for {searched} (one of: 1, 2)\n"
    assert done.status == 2
    assert not (app.folder / "sweep").exists()


@pytest.mark.parametrize("sampler", ["GridSampler", "BruteForceSampler"])
def test_a_sampler_of_optuna_that_ends_a_study_itself_is_refused(tmp_path, sampler):
    app = make_app(tmp_path / "app")
    done = app.sweep(f"hydra.sweeper.sampler._target_=optuna.samplers.{sampler}")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "hydra/sweeper/sampler=grid has every point" in done.err


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    app = make_app(tmp_path / "app")
    (app.folder / "taken").write_text("a file")
    done = app.sweep("hydra.sweep.dir=taken/sweep")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"name={app.folder}/taken/sweep: no folder can be made there" in done.err


@pytest.mark.parametrize("sampler", ["coarse_to_fine", "cmaes"])
def test_a_sampler_of_one_objective_is_refused_several_before_anything_runs(tmp_path, sampler):
    app = make_app(tmp_path / "app")
    done = app.sweep(
        f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.direction=[minimize,maximize]"
    )
    assert (done.status, done.out) == (2, "")
    assert "needs one objective" in done.err
    assert not (app.folder / "sweep").exists()


def test_a_folder_that_is_not_known_yet_is_told_in_one_line(tmp_path):
    app = make_app(tmp_path / "app")
    done = app.sweep("hydra.sweep.dir='${hydra:job.name}/sweep'")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert "hydra.sweep.dir=${hydra:job.name}/sweep: Interpolation" in done.err
