"""``caviar confirm`` from outside: fresh seeds, one look at the test part, and kills in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import yaml

from caviar import UsageError
from caviar.confirm import test_look as test_set
from caviar.reading.sweep import Sweep
from caviar.runs.folder import Result
from tests import copies
from tests.apps import GUARD, make_app
from tests.waiting import until

NOISY = """
import random, pathlib, time
import caviar

HERE = pathlib.Path(__file__).parent

@caviar.main(config_path="conf", config_name="config")
def main(config):
    if config.test:
        with (HERE / "looks.txt").open("a") as file:
            file.write("looked\\n")
        caviar.record(tested=True, test={"score": 0.25})
        while (HERE / "hang").exists():
            time.sleep(0.05)
    with (HERE / "trained.txt").open("a") as file:
        file.write(f"{config.candidate if 'candidate' in config else None} {config.seed}\\n")
    while (HERE / "slow").exists():
        time.sleep(0.05)
    caviar.record(seed=config.seed)
    noise = random.Random(config.seed).gauss(0, 0.1)
    return (config.x - 1) ** 2 + config.opt.size + noise
"""

CONFIG = """
defaults:
  - _self_
  - opt: plain
  - override hydra/sweeper: caviar
hydra:
  run:
    dir: runs/one
  sweep:
    dir: sweep
  sweeper:
    n_trials: 12
    sampler:
      seed: 0
    executor:
      workers: 1
      threads: 1
    params:
      x: interval(-5, 5)
      opt: choice(plain, rich)
      opt.extra: choice(1, 2)
    when:
      opt.extra: {opt: rich}
x: 4.0
data:
  name: made up
  batch_size: 8
seed: 7
test: false
"""


@pytest.fixture
def app(tmp_path):
    made = make_app(tmp_path / "app", NOISY + GUARD, CONFIG)
    (made.folder / "conf" / "opt").mkdir()
    (made.folder / "conf" / "opt" / "plain.yaml").write_text("size: 1\n")
    (made.folder / "conf" / "opt" / "rich.yaml").write_text("size: 0\nextra: 1\n")
    assert made.sweep().status == 0
    (made.folder / "trained.txt").unlink()
    return made


LINE = [sys.executable, "-m", "caviar.cli", "confirm", "sweep"]


def confirm(app, *words):
    line = [*LINE, *words]
    return copies.run(line, cwd=app.folder, capture_output=True, text=True, timeout=120)


def begun(app, *words):
    """A command that can be killed with all that it starts: a copy's copies are not of its group."""
    return subprocess.Popen(
        [*LINE, *words], cwd=app.folder, start_new_session=True, stdout=subprocess.DEVNULL
    )


def lines(app, name):
    path = app.folder / name
    return path.read_text().splitlines() if path.exists() else []


def test_the_best_are_trained_anew_and_the_test_part_is_looked_at_once(app):
    done = confirm(app, "--top", "3", "--seeds", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    ranked = sorted(app.results(), key=lambda result: result["value"])[:3]
    results = app.results("sweep-confirm")
    assert len(results) == 12
    assert {r["params"]["seed"] for r in results} == {8, 9, 10}
    for trial in ranked:
        mine = [r for r in results if r["params"]["candidate"] == str(trial["number"])]
        assert len(mine) == 3
        for result in mine:
            params = {k: v for k, v in result["params"].items() if k not in {"seed", "candidate"}}
            assert params == trial["params"]
    default = [r for r in results if r["params"]["candidate"] == "default"]
    assert all(set(r["params"]) == {"candidate", "seed"} for r in default)
    assert all(r["value"] == pytest.approx(10, abs=1) for r in default)
    assert "over 3 fresh seeds, mean and 95 % interval" in done.stdout
    assert "is better than the default config" in done.stdout
    answer, rest = (
        done.stdout.index("is better than"),
        done.stdout.index("over 3 fresh seeds, mean"),
    )
    assert answer < rest
    assert lines(app, "looks.txt") == ["looked"]
    record = json.loads((app.folder / "sweep" / "test_set.json").read_text())
    assert record["result"] == {"score": 0.25}

    again = confirm(app, "--top", "2", "--seeds", "2")
    assert again.returncode == 0, again.stderr
    assert "the test part was already looked at, on 20" in again.stdout
    assert '{"score": 0.25}; it is not looked at again' in again.stdout
    assert lines(app, "looks.txt") == ["looked"]
    seeds = {r["params"]["seed"] for r in app.results("sweep-confirm-2")}
    assert seeds == {11, 12}

    of_that = copies.run(
        [*LINE[:-1], "sweep-confirm"], cwd=app.folder, capture_output=True, text=True, timeout=120
    )
    assert (of_that.returncode, of_that.stdout) == (2, "")
    assert "sweep-confirm: it confirms another sweep; confirm that one again" in of_that.stderr
    more = [*LINE[:-2], "resume", "sweep-confirm", "n_trials=20"]
    more_of_that = copies.run(more, cwd=app.folder, capture_output=True, text=True, timeout=120)
    assert (more_of_that.returncode, more_of_that.stdout) == (2, "")
    assert "n_trials=20: a confirming sweep trains what was planned" in more_of_that.stderr


def test_a_kill_in_the_middle_is_gone_on_with_and_trains_nothing_twice(app):
    (app.folder / "slow").touch()
    process = begun(app, "--top", "2", "--seeds", "2")
    until(lambda: len(lines(app, "trained.txt")) >= 1, "a trial that trains")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert lines(app, "looks.txt") == []
    (app.folder / "slow").unlink()
    done = confirm(app, "--top", "2", "--seeds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    complete = [r for r in app.results("sweep-confirm") if r["state"] == "COMPLETE"]
    assert len(complete) == 6
    assert not (app.folder / "sweep-confirm-2").exists()
    assert lines(app, "looks.txt") == ["looked"]


def test_a_look_that_was_killed_was_a_look(app):
    (app.folder / "hang").touch()
    process = begun(app, "--top", "1", "--seeds", "2")
    until(lambda: lines(app, "looks.txt") == ["looked"], "a look at the test part")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    (app.folder / "hang").unlink()
    done = confirm(app, "--top", "1", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "already looked at" in done.stdout
    assert "it did not end" in done.stdout
    assert lines(app, "looks.txt") == ["looked"]


def test_two_at_once_look_once(app):
    (app.folder / "hang").touch()
    process = copies.Popen(
        [*LINE, "--top", "1", "--seeds", "2"], cwd=app.folder, stdout=subprocess.DEVNULL
    )
    until(lambda: lines(app, "looks.txt") == ["looked"], "a look at the test part")
    done = confirm(app, "--top", "2", "--seeds", "2")
    assert "already looked at" in done.stdout
    (app.folder / "hang").unlink()
    assert process.wait(timeout=60) == 0
    assert lines(app, "looks.txt") == ["looked"]


def _claim(folder):
    sweep = Sweep.whole(folder)
    try:
        test_set.claim(sweep, "1", folder / "run")
    except UsageError as error:
        return str(error)
    return "mine"


def test_of_many_processes_one_may_look(app):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        told = list(pool.map(_claim, [app.folder / "sweep"] * 12))
    assert told.count("mine") == 1
    assert all("already looked at" in one for one in told if one != "mine")


@pytest.mark.fast
def test_a_record_that_was_edited_or_removed_still_counts(app):
    sweep = Sweep.whole(app.folder / "sweep")
    run = app.folder / "sweep-confirm-test"
    test_set.claim(sweep, "1", run)
    run.mkdir()
    record = app.folder / "sweep" / "test_set.json"
    for edited in ("", "{}", "[]", '{"when": 1', None):
        if edited is None:
            record.unlink()
        else:
            record.write_text(edited)
        with pytest.raises(UsageError, match="already looked at"):
            test_set.claim(sweep, "1", run)


def test_a_run_that_died_before_it_saw_the_test_part_is_no_look(app):
    sweep = Sweep.whole(app.folder / "sweep")
    run = app.folder / "sweep-confirm-test"

    def ended(state: str, **facts) -> bool:
        test_set.claim(sweep, "1", run)
        run.mkdir(exist_ok=True)
        Result(state=state, facts=facts).write(run)
        return test_set.withdraw(sweep, run)

    test_set.claim(sweep, "1", run)
    assert test_set.withdraw(sweep, run)  # refused before it had begun: its folder is gone
    assert ended("FAIL", testing=False)  # of data that could not be read
    assert test_set.looked_at(sweep) is None
    assert not ended("RUNNING", testing=False)  # killed: nobody knows
    (app.folder / "sweep/test_set.json").unlink()
    assert "is the run; its record" in str(test_set.looked_at(sweep))
    for facts in ({"testing": True}, {}):  # while it looked; or a program that does not tell
        Result(state="FAIL", facts=facts).write(run)
        assert not test_set.saw_nothing(run)


def test_another_sweep_over_the_same_data_looks_only_when_that_is_asked_for(app):
    test_set.claim(Sweep.whole(app.folder / "sweep"), "1", app.folder / "run")
    words = ("hydra.sweeper.n_trials=4",)
    assert app.sweep("hydra.sweep.dir=other", "data.batch_size=16", *words).status == 0
    assert app.sweep("hydra.sweep.dir=foreign", "data.name=else", *words).status == 0
    other, foreign = (Sweep.whole(app.folder / name) for name in ("other", "foreign"))
    seen = test_set.looked_at(other)
    assert seen is not None
    assert "by another sweep over the same data, sweep, on 20" in seen
    assert "--test-again looks all the same" in seen
    assert test_set.looked_at(other, again=True) is None
    assert test_set.looked_at(foreign) is None


def test_a_sweep_that_tested_its_own_trials_has_looked(app):
    path = app.folder / "sweep" / "trials" / "0003" / "result.json"
    result = json.loads(path.read_text())
    result["facts"]["tested"] = True
    path.write_text(json.dumps(result))
    done = confirm(app, "--top", "1", "--seeds", "2")
    assert "was already looked at, in trials [3] of the sweep itself" in done.stdout
    assert lines(app, "looks.txt") == []


def test_what_cannot_be_confirmed_is_told_in_one_line(app):
    for words, told in (
        (["--top", "0"], "--top=0: must be at least 1"),
        (["--top", "13"], "--top=13: 12 trials are complete"),
        (["--seeds", "1"], "--seeds=1: an interval needs at least 2"),
    ):
        done = confirm(app, *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert told in done.stderr
    assert lines(app, "trained.txt") == []
    assert not (app.folder / "sweep" / "confirm.json").exists()


def test_without_a_look_the_look_is_still_to_be_had(app):
    done = confirm(app, "--top", "1", "--seeds", "2", "--no-test")
    assert "the test part was not looked at" in done.stdout
    # This program has no recipe for lanes.
    assert "engine=auto: 0 trainings on lanes, 4 by a Trainer each" in done.stdout
    assert not (app.folder / "sweep" / "test_set.json").exists()


def test_a_sweep_of_another_config_is_confirmed_with_it(app):
    (app.folder / "conf" / "other.yaml").write_text(CONFIG + "y: 5\n")
    words = ("-cn", "other", "hydra.sweep.dir=more", "hydra.sweeper.n_trials=2")
    assert app.sweep(*words).status == 0
    line = [*LINE[:-1], "more", "--top", "1", "--seeds", "2", "--no-test"]
    done = copies.run(line, cwd=app.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    configs = (app.folder / "more-confirm").glob("trials/*/config.yaml")
    assert [yaml.safe_load(config.read_text())["y"] for config in configs] == [5] * 4


def test_a_folder_that_is_not_trusted_is_confirmed_only_where_that_is_asked_for(app):
    (app.folder / "sweep").chmod(0o777)
    refused = confirm(app, "--top", "1", "--seeds", "2")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "anybody may write to it" in refused.stderr
    where = app.folder / "sweep"
    assert refused.stderr.endswith(f"(where you trust it: caviar confirm {where} --trust)\n")
    assert not (app.folder / "trained.txt").exists()
    assert not (app.folder / "sweep" / "confirm.json").exists()
    done = confirm(app, "--top", "1", "--seeds", "2", "--trust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(app.results("sweep-confirm")) == 4
    assert lines(app, "looks.txt") == ["looked"]
