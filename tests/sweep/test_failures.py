"""A trial that fails is told, kept and survived."""

import json
import sys

import pytest

from tests import copies
from tests.apps import CONFIG, GUARD, QUADRATIC, make_app

FAILS_SOMETIMES = QUADRATIC.replace(
    "return",
    "print('tried', config.x)\n    if config.x > 0: raise KeyError('no such thing')\n    return",
)


def test_a_failing_trial_leaves_its_traceback_and_the_sweep_goes_on(tmp_path):
    app = make_app(tmp_path / "app", FAILS_SOMETIMES + GUARD)
    done = app.sweep("hydra.sweeper.n_trials=12", "hydra.sweeper.sampler.seed=0")
    results = app.results()
    failed = [result for result in results if result["state"] == "FAIL"]
    assert done.status == 3
    assert len(results) == 12
    assert 0 < len(failed) < 12
    for result in results:
        assert (result["state"] == "FAIL") is (result["params"]["x"] > 0)
    for result in failed:
        assert result["error"] == "KeyError: 'no such thing'"
        log = (app.folder / f"sweep/trials/{result['number']:04}/log.txt").read_text()
        assert log.startswith("tried")
        assert "Traceback" in log
        assert "KeyError" in log
        assert f"trial {result['number']} FAILED: KeyError: 'no such thing'" in done.out


def test_all_failing_the_same_way_stops_the_sweep_early_and_shows_the_traceback_once(tmp_path):
    app = make_app(tmp_path / "app", QUADRATIC.replace("return", "config.nothing; return") + GUARD)
    done = app.sweep("hydra.sweeper.n_trials=500", "hydra.sweeper.executor.workers=1")
    assert done.status == 4
    assert len(app.results()) == 5
    lines, stopped, summary = done.out.partition("stopped: ")
    assert "the first 5 trials all failed the same way" in summary, stopped
    # The traceback's own last lines, which a failure's one line does not break.
    assert lines.count("    full_key: nothing") == 1
    assert summary.count("Traceback (most recent call last)") == 1
    assert lines.count("FAILED: ConfigAttributeError") == 5


@pytest.mark.parametrize("engine", ["solo", "fused"])
def test_bad_input_that_a_trial_alone_can_see_is_shown_without_a_traceback(tmp_path, engine):
    command = [sys.executable, "-P", "-m", "project.train", "-m", f"hydra.sweep.dir={tmp_path}/s"]
    words = [
        f"engine={engine}",
        "model._target_=project.models.mlp.MLPP",
        "hydra.sweeper.n_trials=9",
    ]
    done = copies.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "did you mean project.models.mlp.MLP?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_different_failures_do_not_stop_the_sweep(tmp_path):
    code = QUADRATIC.replace("return", "raise ValueError(config.x); return")
    app = make_app(tmp_path / "app", code + GUARD)
    done = app.sweep("hydra.sweeper.n_trials=9")
    assert (done.status, len(app.results())) == (4, 9)


def test_a_task_that_returns_no_number_fails_and_says_what_it_returned(tmp_path):
    for index, returned in enumerate(("None", "'high'", "float('nan')", "float('inf')", "{}")):
        app = make_app(
            tmp_path / f"app{index}", QUADRATIC.split("return")[0] + f"return {returned}\n" + GUARD
        )
        done = app.sweep("hydra.sweeper.n_trials=1")
        assert done.status == 4
        assert "this one returned" in app.results()[0]["error"]


def test_a_trial_that_exits_fails_and_its_worker_lives_on(tmp_path):
    code = QUADRATIC.replace(
        "return", "import sys, os\n    if config.x > 0: sys.exit(3)\n    return os.getpid(); return"
    )
    app = make_app(tmp_path / "app", code + GUARD)
    seeded = "hydra.sweeper.sampler.seed=0"  # else five in a row may exit, which ends a sweep
    app.sweep("hydra.sweeper.n_trials=8", "hydra.sweeper.executor.workers=1", seeded)
    assert len({r["value"] for r in app.results() if r["state"] == "COMPLETE"}) == 1


def test_a_killed_worker_has_its_trial_tried_once_more_and_fails_it_alone(tmp_path):
    code = QUADRATIC.replace(
        "return",
        "import os, signal\n    if config.x > 0: os.kill(os.getpid(), signal.SIGKILL)\n    return",
    )
    app = make_app(tmp_path / "app", code + GUARD)
    done = app.sweep("hydra.sweeper.n_trials=8", "hydra.sweeper.sampler.seed=0")
    assert done.status == 3
    killed = [result for result in app.results() if result["params"]["x"] > 0]
    assert killed
    for result in app.results():
        assert result["state"] == ("FAIL" if result in killed else "COMPLETE")
    for result in killed:
        assert result["error"].startswith("WorkerLost: the worker on cpu:")
        assert result["error"].endswith("ended with signal SIGKILL")
        assert done.out.count(f"trial {result['number']} again: WorkerLost") == 1
        assert done.out.count(f"trial {result['number']} FAILED: WorkerLost") == 1


def test_a_task_that_no_worker_can_load_stops_the_sweep_and_says_why(tmp_path):
    once = "from pathlib import Path\nbefore = Path(__file__).with_name('before')\n"
    code = f"{once}if before.exists(): raise OSError('not here')\nbefore.touch()\n"
    app = make_app(tmp_path / "app", code + QUADRATIC + GUARD)
    # A copy of the controller has the task already; a new interpreter has to load it.
    done = app.sweep("hydra.sweeper.executor.fork=false")
    assert done.status == 4
    assert "no worker can load the task: OSError: not here" in done.out


def test_output_of_a_trial_goes_to_its_log_and_nowhere_else(tmp_path):
    code = QUADRATIC.replace(
        "return",
        "import os, sys, logging\n"
        "    print('to stdout'); print('to stderr', file=sys.stderr)\n"
        "    os.system('echo from a child'); logging.getLogger('app').info('logged')\n"
        "    return",
    )
    app = make_app(tmp_path / "app", code + GUARD)
    for executor in ("local", "inline"):
        done = app.sweep(f"hydra/sweeper/executor={executor}", f"hydra.sweep.dir={executor}")
        assert "to std" not in done.out + done.err
        for number in range(4):
            log = (app.folder / executor / f"trials/{number:04}/log.txt").read_text()
            for words in ("to stdout", "to stderr", "from a child"):
                assert log.count(words) == 1, (executor, log)
        assert "logged" in log


def test_a_failed_trial_is_in_the_result_file_as_strict_json(tmp_path):
    code = QUADRATIC.replace("return", "import caviar; caviar.record(loss=float('nan')); return")
    app = make_app(tmp_path / "app", code + GUARD, CONFIG)
    app.sweep("hydra.sweeper.n_trials=1")
    text = (app.folder / "sweep/trials/0000/result.json").read_text()

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse)["facts"]["loss"] == "nan"


INTERRUPTED = """
import os, signal
from caviar.sweep.samplers import RandomSampler

def check(config, searched):
    os.kill(os.getpid(), signal.SIGINT)

class Sampler(RandomSampler):
    def bind(self, space):
        os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize("when", ["check=at.check", "sampler._target_=at.Sampler"])
def test_ctrl_c_while_a_sweep_starts_is_one_line_and_leaves_nothing_behind(tmp_path, when):
    app = make_app(tmp_path / "app")
    (app.folder / "at.py").write_text(INTERRUPTED)
    done = app.sweep(f"hydra.sweeper.{when}", "hydra.sweeper.sampler.seed=0", "+allow=[at.]")
    assert (done.status, done.out, done.err) == (130, "", "interrupted\n")
    assert not (app.folder / "sweep").exists()


def by_point(app) -> dict[int, dict]:
    return {result["params"]["k"]: result for result in app.results()}


def grid_app(folder, code: str):
    """An app whose trials are told apart by k: 0, 1, 2."""
    config = CONFIG.replace("x: interval(-5, 5)", "k: range(0, 3)").replace("x: 0.0", "k: 0")
    return make_app(folder, code + GUARD, config)


GRID = ["hydra/sweeper/sampler=grid", "hydra.sweeper.retries=0"]
ONE_WORKER = {"local": ["hydra.sweeper.executor.workers=1"], "inline": []}
TASK = """
import sys
import hydra

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    if config.k == 1:
        ACT
    print("scored", config.k)
    return float(config.k)
"""


@pytest.mark.parametrize("executor", ["local", "inline"])
@pytest.mark.parametrize(
    ("act", "told"),
    [
        (
            "return 1.0, 2.0",
            "ValueError: a trial returns a number, but this one returned (1.0, 2.0)",
        ),
        ("raise Mute", "Mute: (no text: its __str__ raises RuntimeError)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit('gone')", "GeneratorExit: gone"),
        ("sys.exit()", "SystemExit"),
        ("sys.stdout.close(); sys.stderr.close(); raise ValueError('mute')", "ValueError: mute"),
        ("sys.stdout = None; raise ValueError('gone')", "ValueError: gone"),
    ],
)
def test_whatever_a_task_does_its_trial_alone_fails_and_says_why(tmp_path, executor, act, told):
    app = grid_app(tmp_path / "app", TASK.replace("ACT", act))
    done = app.sweep(*GRID, f"hydra/sweeper/executor={executor}", *ONE_WORKER[executor])
    assert done.status == 3, done.out + done.err
    assert done.err == ""
    found = by_point(app)
    assert [found[k]["state"] for k in range(3)] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert found[1]["error"] == told
    assert [trial.state.name for trial in app.study().trials].count("FAIL") == 1
    for k in range(3):
        log = (app.folder / f"sweep/trials/{found[k]['number']:04}/log.txt").read_text()
        assert (f"scored {k}" in log) is (k != 1)
        assert ("Traceback (most recent call last)" in log) is (k == 1)


@pytest.mark.parametrize("returned", ["1.0", "[1.0]", "(1.0, 2.0, 3.0)"])
def test_with_two_objectives_a_trial_returns_two_numbers(tmp_path, returned):
    code = QUADRATIC.split("return")[0] + f"return {returned}\n" + GUARD
    app = make_app(tmp_path / "app", code)
    done = app.sweep("hydra.sweeper.direction=[minimize,maximize]", "hydra.sweeper.n_trials=2")
    assert done.status == 4, done.out + done.err
    assert "a trial returns 2 numbers, one an objective, but" in app.results()[0]["error"]


def test_a_task_that_closes_its_output_keeps_its_score(tmp_path):
    app = grid_app(tmp_path / "app", TASK.replace("ACT", "sys.stdout.close(); return 1.0"))
    done = app.sweep(*GRID, *ONE_WORKER["local"])
    assert done.status == 0, done.out + done.err
    assert {k: result["value"] for k, result in by_point(app).items()} == {0: 0.0, 1: 1.0, 2: 2.0}


CHOICES = """
defaults:
  - a: one
  - b: one
  - both: ${a}_${b}
  - override hydra/sweeper: caviar
  - override hydra/sweeper/sampler: grid
hydra:
  sweep:
    dir: sweep
  sweeper:
    params:
      a: one, two
      b: one, two
x: 1.0
y: 0
"""


def test_choices_that_do_not_go_together_fail_their_trial_and_keep_the_sweep(tmp_path):
    app = make_app(tmp_path / "app", config=CHOICES)
    for name in (
        "a/one",
        "a/two",
        "b/one",
        "b/two",
        "both/one_one",
        "both/one_two",
        "both/two_one",
    ):
        file = app.folder / f"conf/{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}\n")
    done = app.sweep("hydra.sweeper.executor.workers=1")
    assert done.status == 3, done.err
    states = [result["state"] for result in app.results()]
    assert states == ["COMPLETE"] * 3 + ["FAIL"]
    assert "both=two_two" in app.results()[3]["error"]
    assert app.resume().status == 3


def test_a_sweep_whose_best_result_is_damaged_is_told_all_the_same(tmp_path):
    app = make_app(tmp_path / "app")
    app.sweep("hydra.sweeper.n_trials=3")
    for folder in (app.folder / "sweep/trials").iterdir():
        (folder / "result.json").write_text("{")
    done = app.resume()
    assert done.status == 0, done.err
    assert "3 complete" in done.out
