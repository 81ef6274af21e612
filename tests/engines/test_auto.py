"""``engine=auto`` takes what is faster, measured once for each kind of trial."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from caviar.base.messages import Finished, Ready
from caviar.engines.lanes import calibration
from caviar.engines.lanes.calibration import Choice, choose
from caviar.engines.lanes.engine import Fused
from caviar.engines.make import make_engine
from caviar.engines.solo import Solo
from project.train import main
from tests import copies
from tests.engines.lanes import training
from tests.engines.test_engine import Jobs, jobs, rates, result, serve  # noqa: F401 - a fixture


def test_a_small_network_is_fused_and_a_large_one_goes_by_solo() -> None:
    small = choose(training("model.width=16"), None, "cpu")
    large = choose(training("model.width=1024", "model.depth=3", "data.batch_size=8"), None, "cpu")
    assert small.lanes >= 4
    assert small.lane_step < small.solo_step
    assert large.lanes == 0 or large.lane_step < large.solo_step


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run beside this one; here they are not to count."""
    monkeypatch.setattr(calibration, "_crowded", lambda: False)


def test_what_was_measured_is_remembered_on_disk(
    cache: Path, monkeypatch: pytest.MonkeyPatch, alone: None
) -> None:
    first = choose(training(), None, "cpu")
    (file,) = (cache / "calibration").iterdir()
    assert Choice(**json.loads(file.read_text())) == first

    def forbidden(*_: object) -> Choice:
        raise AssertionError("measured again")

    monkeypatch.setattr(calibration, "_measure", forbidden)
    assert choose(training("optimizer.lr=0.5", "seed=3"), None, "cpu") == first
    with pytest.raises(AssertionError, match="measured again"):
        choose(training("data.batch_size=8"), None, "cpu")


def test_what_was_measured_is_forgotten_after_a_month(cache: Path, alone: None) -> None:
    choose(training(), None, "cpu")
    (file,) = (cache / "calibration").iterdir()
    for days, again in ((29, False), (31, True)):
        written = time.time() - days * 86400
        os.utime(file, (written, written))
        choose(training(), None, "cpu")
        assert (file.stat().st_mtime > written + 1) == again


def test_what_was_measured_on_a_crowded_processor_is_not_remembered(cache: Path) -> None:
    cores = os.sched_getaffinity(0)
    core = min(cores)
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    os.sched_setaffinity(0, {core})
    others = [
        subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) for _ in range(3)
    ]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        choose(training(), None, "cpu")
    finally:
        os.sched_setaffinity(0, cores)
        for other in others:
            other.kill()
            other.communicate()
    assert not (cache / "calibration").exists()


def test_a_torn_measurement_is_measured_again(cache: Path, alone: None) -> None:
    choose(training(), None, "cpu")
    (file,) = (cache / "calibration").iterdir()
    file.write_text('{"lanes": 4')
    assert choose(training(), None, "cpu").lanes >= 0
    json.loads(file.read_text())


def test_measuring_changes_no_training() -> None:
    one, other = training("model.dropout=0.2"), training("model.dropout=0.2")
    choose(one, 4, "cpu")
    from caviar.engines.lanes.stack import Stack

    weights = []
    for each in (one, other):
        stack = Stack([each], 2)
        stack.admit(each)
        stack.tick()
        weights.append(stack.last_weights(0))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_trials_that_go_by_solo_come_one_at_a_time(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "_measure", lambda *_: Choice(0, 1.0, 2.0))
    mine = jobs(rates(3))
    inbox = serve(mine, make_engine(main, "auto", "project.recipe.recipe"))
    assert not [event for event in inbox.of(Ready) if event.lanes != 1]
    assert all(isinstance(end, Finished) for end in inbox.ends().values())
    assert (Path(mine[0].folder) / "checkpoints/last.ckpt").exists()


def test_auto_without_a_recipe_is_solo() -> None:
    assert isinstance(make_engine(main, "auto"), Solo)
    assert isinstance(make_engine(main, "auto", "project.recipe.recipe"), Fused)


SMALL = ("data=synthetic", "data.samples=120", "trainer.max_epochs=4", "hydra.sweeper.n_trials=24")


def sweep(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return copies.run(
        [sys.executable, "-m", "project.train", "-m", "name=s", *SMALL, *overrides],
        env={**os.environ, "CAVIAR_OUTPUTS": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_sweep_by_lanes_with_a_pruner_leaves_what_any_sweep_leaves(tmp_path: Path) -> None:
    done = sweep(tmp_path, "engine=auto", "pruner=median", "seed=1")
    assert done.returncode == 0, done.stdout + done.stderr
    folders = sorted((tmp_path / "sweeps/s/trials").iterdir())
    results = [result(folder) for folder in folders]
    assert [found["number"] for found in results] == list(range(24))
    assert {found["state"] for found in results} <= {"COMPLETE", "PRUNED"}
    for folder, found in zip(folders, results, strict=True):
        rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
        assert 1 <= len(rows) <= 4
        if found["state"] == "COMPLETE":
            assert float(rows[found["best_epoch"]]["val/acc"]) == found["value"]
    assert any((folder / "checkpoints/best.ckpt").exists() for folder in folders)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweeper.fused.lanes=0", "fused.lanes=0: must be at least 1"),
        ("+hydra.sweeper.fused.lames=4", "lames"),
        ("executor=inline", "engine=fused: executor=inline"),
        ("hydra.sweeper.build=null", "engine=fused: needs hydra.sweeper.build"),
    ],
)
def test_settings_that_cannot_work_are_told_in_one_line(
    tmp_path: Path, override: str, message: str
) -> None:
    done = sweep(tmp_path, "engine=fused", override)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "sweeps").exists()
