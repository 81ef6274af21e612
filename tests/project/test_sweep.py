"""A sweep of the project's own trainings: pruned, interrupted, resumed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import copies
from tests.waiting import until

SWEEP = (
    "engine=solo",  # lanes have tests of their own
    *("data=synthetic", "data.samples=300", "data.noise=0.8", "model.width=8", "model.depth=1"),
    *("space=none", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "model.dropout=0.3"),
    *("hydra.sweeper.n_trials=2", "executor.workers=2"),
)


def command(*words: str) -> list[str]:
    settings = [word.replace("executor.", "hydra.sweeper.executor.", 1) for word in SWEEP]
    return [sys.executable, "-m", "project.train", "-m", *settings, *words]


def curves(sweep: Path) -> dict[float, str]:
    """Learning rate -> metrics.csv of the trials that are complete."""
    found = {}
    for file in sweep.glob("trials/*/result.json"):
        result = json.loads(file.read_text())
        if result["state"] == "COMPLETE":
            found[result["params"]["optimizer.lr"]] = file.with_name("metrics.csv").read_text()
    return found


def test_a_terminated_and_resumed_sweep_has_the_very_curves_of_an_undisturbed_one(tmp_path: Path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    long = "trainer.max_epochs=120"
    whole = copies.run(
        command(long, "name=whole"), cwd=tmp_path, env=env, capture_output=True, check=True
    )
    assert whole.returncode == 0
    process = copies.Popen(
        command(long, "name=cut"), cwd=tmp_path, env=env, stdout=subprocess.DEVNULL
    )
    cut = tmp_path / "outputs" / "sweeps" / "cut"

    def rows() -> list[int]:
        return [len(f.read_text().splitlines()) for f in cut.glob("trials/*/metrics.csv")]

    until(lambda: len(rows()) == 2 and min(rows()) > 5, "both trials are under way")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    at_the_cut = rows()
    assert max(at_the_cut) < 120, "it was cut in the middle"
    assert curves(cut) == {}
    resume = [sys.executable, "-m", "caviar.cli", "resume", str(cut)]
    copies.run(resume, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert curves(cut) == curves(tmp_path / "outputs" / "sweeps" / "whole")
    for folder in cut.glob("trials/*"):
        result = json.loads((folder / "result.json").read_text())
        assert (result["state"] == "COMPLETE") is ("retry_of" in result["facts"])


def test_a_pruned_training_ends_at_an_epoch_and_keeps_its_run_folder(tmp_path: Path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = (
        "pruner=threshold",
        "hydra.sweeper.baseline=false",  # which is never pruned
        "hydra.sweeper.pruner.lower=2",
        "hydra.sweeper.pruner.n_warmup_steps=3",
    )
    copies.run(
        command(*words, "trainer.max_epochs=100", "name=pruned"),
        cwd=tmp_path,
        env=env,
        capture_output=True,
        check=True,
    )
    for folder in (tmp_path / "outputs/sweeps/pruned/trials").iterdir():
        result = json.loads((folder / "result.json").read_text())
        assert result["state"] == "PRUNED"
        epochs = len((folder / "metrics.csv").read_text().splitlines()) - 1
        assert 4 <= epochs < 100
        assert (folder / "checkpoints" / "best.ckpt").exists()


def test_a_signal_to_a_workers_training_alone_costs_no_try_also_beside_other_tasks_of_slurm(
    tmp_path: Path,
):
    slurm = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "x", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
    env = {**os.environ, "OMP_NUM_THREADS": "1", **slurm, "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}
    words = ("trainer.max_epochs=150", "name=told", "hydra.sweeper.retries=0")
    process = copies.Popen(
        command(*words), cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    trials = tmp_path / "outputs" / "sweeps" / "told" / "trials"
    until(lambda: len(list(trials.glob("*/metrics.csv"))) == 2, "both trials are under way", 120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert out.count("again: TrialInterrupted") == 2
    assert "interrupted 1 times of 10 at most" in out
