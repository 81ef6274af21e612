"""A training in several processes is one run: one folder, one score, one result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caviar import UsageError
from caviar.base.security import allow
from caviar.runs.active import ActiveRun, RankLost, activate
from caviar.runs.folder import Result, was_stopped
from project.train import main
from tests import copies
from tests.waiting import gone, until

ROOT = Path(__file__).parents[2]
MINE = (
    *("allow=[tests.lightning.]", f"hydra.searchpath=[file://{Path(__file__).parent}/configs]"),
    *("data=numbers", "model=mine", "metric=error", "direction=minimize", "space=none"),
    *("trainer=ddp_sim", "callbacks.checkpoint.every_seconds=0"),
)
pytestmark = pytest.mark.filterwarnings("ignore:Attribute 'net' is an instance")

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def train(folder: Path, *words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "project.train", *words, *MINE]
    pipe = subprocess.PIPE
    return copies.Popen(line, cwd=folder, env=ENV, text=True, stdout=pipe, stderr=pipe)


def alone(config: Any, **run: Any) -> float:
    allow(config.allow)
    with activate(ActiveRun(Path(config.dir), task=main, **run)) as active:
        score = main(config)
    assert active.facts["metrics"]["error"] == score
    return score


def rows(folder: Path) -> list[str]:
    file = folder / "metrics.csv"
    return file.read_text().splitlines()[1:] if file.is_file() else []


def test_one_that_is_told_to_end_and_goes_on_is_one_run_with_the_curve_of_an_undisturbed_one(
    tmp_path: Path, compose_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")  # as somebody's `seed_everything` leaves it
    config = compose_run(*MINE, "trainer.max_epochs=30")
    score = alone(config)
    assert not {"MASTER_PORT", "LOCAL_RANK", "WORLD_SIZE"} & set(os.environ)
    whole = rows(Path(config.dir))
    assert len(whole) == 30

    process = train(tmp_path, "name=cut", "trainer.max_epochs=30")
    folder = tmp_path / "outputs/runs/cut"
    until(lambda: len(rows(folder)) >= 3 or process.poll() is not None, "epochs", 120)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert was_stopped(Result.read(folder).error)
    assert 3 <= len(rows(folder)) < 30
    line = [sys.executable, "-m", "caviar.cli", "resume", "cut"]
    done = copies.run(line, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert rows(folder) == whole
    result = Result.read(folder)
    assert (result.state, result.value) == ("COMPLETE", score)
    assert [path.name for path in folder.parent.iterdir()] == ["cut"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("checkpoints", "config.yaml", "log.txt", "made.json", "metrics.csv"),
        *("overrides.yaml", "result.json"),
    ]


def test_the_score_is_the_mean_over_the_parts_that_the_processes_validate_on(
    compose_run: Callable[..., Any],
) -> None:
    settings = (*MINE, "model.optimizer.lr=1e-9", "trainer.max_epochs=1")
    one = alone(compose_run(*settings, "trainer.devices=1", "trainer.strategy=auto"))
    assert alone(compose_run(*settings)) == pytest.approx(one, rel=1e-6)


def test_a_sweep_has_one_folder_and_one_score_a_trial(tmp_path: Path) -> None:
    process = train(
        tmp_path,
        *(
            "-m",
            "name=s",
            "engine=solo",
            "hydra.sweeper.n_trials=2",
            "model.optimizer.lr=1e-3,1e-2",
        ),
        *("search=grid", "hydra.sweeper.executor.workers=1", "hydra.sweeper.executor.threads=1"),
        "hydra.sweeper.report=false",
        *("hydra.sweeper.baseline=false", "trainer.max_epochs=1"),
    )
    said = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert list((tmp_path / "outputs").iterdir()) == [tmp_path / "outputs/sweeps"]
    trials = sorted((tmp_path / "outputs/sweeps/s/trials").iterdir())
    results = [Result.read(trial) for trial in trials]
    assert [(one.number, one.state) for one in results] == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert len({one.value for one in results}) == 2
    assert [len(rows(trial)) for trial in trials] == [1, 1]


def test_a_process_that_is_killed_ends_the_run_in_one_line(tmp_path: Path) -> None:
    failing = ("model._target_=tests.lightning.modules.Uneven", "+model.killed=true")
    process = train(tmp_path, "name=cut", "trainer.max_epochs=3", *failing)
    _, err = process.communicate(timeout=120)
    line = err.splitlines()[-1]
    assert process.returncode == 1
    assert line == "error: process 2 of the training's 2: ended with signal SIGKILL"
    assert "Traceback" not in err
    result = Result.read(tmp_path / "outputs/runs/cut")
    assert result.state == "FAIL"
    assert result.error == f"RankLost: {line.removeprefix('error: ')}"


def test_a_process_that_fails_says_why(compose_run: Callable[..., Any]) -> None:
    failing = "model._target_=tests.lightning.modules.Uneven"
    config = compose_run(*MINE, failing, "trainer.max_epochs=3")
    with pytest.raises(RankLost, match="process 2 of the training's 2: ValueError: only here"):
        alone(config)
    assert len(rows(Path(config.dir))) == 1


def test_processes_end_with_the_first(tmp_path: Path) -> None:
    process = train(tmp_path, "name=cut", "trainer.max_epochs=100000")
    folder = tmp_path / "outputs/runs/cut"
    until(lambda: rows(folder) or process.poll() is not None, "an epoch", 120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("needs Linux")
    others = [int(pid) for pid in children.read_text().split()]
    process.kill()
    process.communicate()
    assert others
    until(lambda: all(map(gone, others)), "they end")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trainer.strategy=ddp_spawn"], "trainer.strategy=ddp_spawn: its processes"),
        (["trainer.strategy=ddp_fork"], "trainer.strategy=ddp_fork: its processes"),
        (["data.folds=2"], "data.folds=2: a fold is trained by one process"),
        (["+trainer.num_nodes=2"], "trainer.num_nodes=2: a training is on the devices of one"),
    ],
)
def test_what_cannot_be_one_run_is_refused_before_anything_is_trained(
    compose_run: Callable[..., Any], words: list[str], told: str
) -> None:
    config = compose_run("trainer=ddp_sim", "data=synthetic", *words)
    with activate(ActiveRun(Path(config.dir), task=main)), pytest.raises(UsageError, match=told):
        main(config)
    assert not Path(config.dir, "metrics.csv").exists()
