"""A watched run whose disk is full says so, loses nothing, and goes on once there is room again."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from caviar.panda.files import read_status
from caviar.runs.files import append_whole
from caviar.runs.folder import Result
from tests import copies
from tests.waiting import until

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
WORDS = (
    *("panda=true", "data=synthetic", "data.samples=300", "model.width=8", "model.dropout=0.2"),
    *("trainer.max_epochs=200", "callbacks.checkpoint.every_seconds=0"),
)


@pytest.fixture
def disk(tmp_path: Path):
    """A small file system, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def test_a_watched_run_goes_on_once_a_full_disk_has_room_again(tmp_path: Path, disk: Path) -> None:
    run, whole = disk / "cub", tmp_path / "whole"
    app = [sys.executable, "-P", "-m", "project.train", *WORDS]
    process = copies.Popen(
        [*app, f"hydra.run.dir={run}"], cwd=tmp_path, env=ENV, text=True, stderr=subprocess.PIPE
    )
    until(
        lambda: process.poll() is not None or (run / "checkpoints/last.ckpt").exists(),
        "epochs",
        120,
    )
    filler = fill(disk)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert f"caviar resume {run}" in err
    assert (run / "checkpoints/last.ckpt").stat().st_size > 0
    assert list(run.rglob("*.partial")) == []
    filler.unlink()
    line = [sys.executable, "-m", "caviar.cli", "resume", str(run)]
    done = copies.run(line, cwd=tmp_path, env=ENV, text=True, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (Result.read(run).state, read_status(run)["state"]) == ("COMPLETE", "ended")
    copies.run([*app, f"hydra.run.dir={whole}"], cwd=tmp_path, env=ENV, check=True, timeout=240)
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_what_is_appended_to_a_full_disk_is_there_whole_or_not_at_all(disk: Path) -> None:
    file = disk / "lines"
    append_whole(file, "first\n")
    filler = fill(disk)
    with pytest.raises(OSError, match="No space left"):
        append_whole(file, "x" * 100_000 + "\n")
    assert file.read_text() == "first\n"
    filler.unlink()
    append_whole(file, "second\n")
    assert file.read_text() == "first\nsecond\n"
