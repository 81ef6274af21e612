"""``caviar resume RUN``: a training that was killed goes on, to the very numbers it would have come to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caviar.base.errors import UsageError
from caviar.runs.folder import Result, was_stopped
from caviar.runs.program import hold, under_way
from tests import copies
from tests.waiting import until

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
WORDS = (
    *(
        "data=synthetic",
        "data.samples=300",
        "data.noise=0.5",
        "model.width=16",
        "model.dropout=0.3",
    ),
    *("optimizer=adam", "scheduler=cosine", "trainer.max_epochs=60"),
    "callbacks.checkpoint.every_seconds=0",
)
"""A training whose numbers hang on every state there is: dropout, running statistics, Adam, a schedule."""


def train(root: Path, name: str, *overrides: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "project.train", f"name={name}", *WORDS, *overrides]
    return copies.Popen(
        line, cwd=root, env=ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def resume(root: Path, *words: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
    """Run it, wherever it is asked from, and with however many threads that shell has."""
    line = [sys.executable, "-m", "caviar.cli", "resume", *words]
    env = {**ENV, "OMP_NUM_THREADS": str(threads), "CAVIAR_OUTPUTS": str(root / "outputs")}
    run = copies.run if threads == 1 else subprocess.run
    return run(line, cwd=root / "outputs", env=env, text=True, capture_output=True, timeout=240)


def rows(folder: Path) -> int:
    file = folder / "metrics.csv"
    return file.read_text().count("\n") - 1 if file.is_file() else 0


def mark(folder: Path) -> str:
    """Put a number into the first row of ``metrics.csv`` that no training gives; return the row."""
    head, first, *rest = (folder / "metrics.csv").read_text().splitlines()
    marked = first.rpartition(",")[0] + ",12345.0"
    (folder / "metrics.csv").write_text("\n".join([head, marked, *rest]) + "\n")
    return marked


def state(folder: Path, name: str) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(folder / "checkpoints" / name, weights_only=True)
    return checkpoint["state_dict"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    process = train(root, "whole")
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    return root / "outputs/runs/whole"


def killed(root: Path, after: int) -> Path:
    """The folder of a run that was killed, with SIGKILL, once it had logged so many epochs."""
    folder = root / "outputs/runs/cut"
    process = train(root, "cut")
    try:
        until(lambda: rows(folder) >= after or process.poll() is not None, "epochs", 120)
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert under_way(folder)
    finally:
        process.kill()
        process.communicate()
    assert Result.read(folder).state == "RUNNING"
    assert rows(folder) < 60
    return folder


def test_a_killed_run_goes_on_from_its_last_checkpoint_to_the_same_numbers_bit_for_bit(
    tmp_path: Path, undisturbed: Path
) -> None:
    folder = killed(tmp_path, after=3)
    begun = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"]
    assert begun > 0
    inode = (folder / "config.yaml").stat().st_ino
    # An epoch that is trained again would write its row anew.
    first = mark(folder)
    done = resume(tmp_path, "cut", threads=2)
    assert done.returncode == 0, done.stderr
    ours, whole = ((run / "metrics.csv").read_text().splitlines() for run in (folder, undisturbed))
    assert ours[1] == first
    assert ours[2:] == whole[2:]
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = state(folder, name), state(undisturbed, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    result, other = Result.read(folder), Result.read(undisturbed)
    assert result.state == "COMPLETE"
    assert (result.value, result.best_epoch) == (other.value, other.best_epoch)
    assert result.facts["metrics"] == other.facts["metrics"]
    assert result.facts["resumed"] is True
    # In its own folder, whose config stays as it was.
    assert [path.name for path in folder.parent.iterdir()] == ["cut"]
    assert (folder / "config.yaml").stat().st_ino == inode
    again = resume(tmp_path, "cut")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "error: run=cut: it is not training any more (it ended)\n"


@pytest.mark.parametrize("watched", ["panda=false", "panda=true"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_end_leaves_a_checkpoint_and_goes_on_to_the_same_numbers(
    tmp_path: Path, undisturbed: Path, watched: str, number: int, status: int
) -> None:
    folder = tmp_path / "outputs/runs/cut"
    process = train(tmp_path, "cut", watched, "callbacks.checkpoint.every_seconds=60")
    until(lambda: rows(folder) >= 3 or process.poll() is not None, "epochs", 120)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == status, out
    assert f"interrupted; go on with it: caviar resume {folder}" in out
    result = Result.read(folder)
    assert was_stopped(result.error)
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] >= 2
    done = resume(tmp_path, "cut")
    assert done.returncode == 0, done.stderr
    assert (folder / "metrics.csv").read_text() == (undisturbed / "metrics.csv").read_text()
    assert Result.read(folder).value == Result.read(undisturbed).value


def test_what_a_runs_folder_says_is_not_trusted_blindly(tmp_path: Path, undisturbed: Path) -> None:
    folder = tmp_path / "outputs/runs/received"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_bytes((undisturbed / "config.yaml").read_bytes())
    witness = tmp_path / "witness"
    script = tmp_path / "script.py"
    script.write_text(f"open({str(witness)!r}, 'w')\n")
    for program in (
        None,
        {"module": "os", "cwd": "/"},
        {"script": str(script), "cwd": str(tmp_path)},
        {"script": 3, "module": None},
    ):
        result = Result(state="RUNNING")
        result.facts = {"program": program}
        result.write(folder)
        done = resume(tmp_path, "received")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert "caviar did not make it here" in done.stderr
        assert "--trust" in done.stderr
    assert not witness.exists()


def test_a_run_under_way_is_not_started_a_second_time(tmp_path: Path) -> None:
    folder = tmp_path / "outputs/runs/mine"
    folder.mkdir(parents=True)
    Result(state="RUNNING").write(folder)
    assert not under_way(folder)
    with hold(folder):
        assert under_way(folder)
        done = resume(tmp_path, "mine")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: run=mine: another process is training it\n"
        with pytest.raises(UsageError, match="another process is training it"):
            hold(folder)
    assert not under_way(folder)
