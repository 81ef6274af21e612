"""No sweep ever trains another module than the one that its config names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import copies

ROOT = Path(__file__).parents[2]
CONFIGS = Path(__file__).parent / "configs"


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [
        *(sys.executable, "-m", "project.train", "-m", "allow=[tests.lightning.]"),
        *(f"hydra.searchpath=[file://{CONFIGS}]", f"hydra.sweep.dir={folder}"),
        *("hydra.sweeper.n_trials=2", "hydra.sweeper.report=false", "trainer.max_epochs=1"),
        *("hydra.sweeper.executor.workers=1", "hydra.sweeper.executor.threads=1"),
        *("hydra.sweeper.baseline=false", *words),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return copies.run(
        line, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=300
    )


def trials(folder: Path) -> list[dict]:
    return [json.loads((folder / f"trials/{n:04}/result.json").read_text()) for n in range(2)]


@pytest.mark.parametrize("engine", ["solo", "fused", "auto"])
def test_a_module_whose_loss_is_always_0_is_what_every_engine_trains(
    engine: str, tmp_path: Path
) -> None:
    words = ("data=numbers", "model=mine", "+model.scale=0", "metric=error", "direction=minimize")
    done = sweep(tmp_path / "s", *words, f"engine={engine}")
    assert done.returncode == 0, done.stdout + done.stderr
    for one in trials(tmp_path / "s"):
        assert one["value"] == 0
        assert one["params"].keys() == {"model.net.width", "model.optimizer.lr"}  # space/mine.yaml
        assert one["facts"]["metrics"] == {"error": 0}


def test_another_task_for_the_shipped_network_is_what_lanes_train_too(tmp_path: Path) -> None:
    words = ("task._target_=tests.lightning.modules.Silent", "optimizer.lr=1e-3,1e-2", "space=none")
    done = sweep(tmp_path / "s", *words, "metric=val/loss", "direction=minimize")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not on lanes" not in done.stdout
    assert [one["value"] for one in trials(tmp_path / "s")] == [0, 0]


def test_an_error_of_a_trial_is_its_own_with_its_traceback(tmp_path: Path) -> None:
    words = ("data=numbers", "model=mine", "metric=error", "direction=minimize", "space=none")
    done = sweep(tmp_path / "s", *words, "+model.scale=1,oops", "search=grid")
    assert done.returncode == 3, done.stdout + done.stderr
    states = {one["params"]["model.scale"]: one for one in trials(tmp_path / "s")}
    assert states[1]["state"] == "COMPLETE"
    failed = states["oops"]
    assert failed["error"].startswith("TypeError: ")
    log = (tmp_path / f"s/trials/{failed['number']:04}/log.txt").read_text()
    assert "modules.py" in log
    assert "Traceback" in log
