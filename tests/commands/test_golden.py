"""Folders as published versions left them (``tests/golden``): every command reads each of them still."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from caviar import load
from caviar.runs.ours import MADE, mark
from tests import copies

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir())

READ = {
    "status sweep": "sweep",
    "runs list": "sweep/2",
    "runs list sweep --summary": "sweep/1",
    "runs list --where state=='PRUNED'": "sweep/0",
    "runs show sweep/1": "optimizer.lr",
    "runs show cub --json": '"old": 0.003',
    "runs best sweep --ckpt": "0001/checkpoints/best.ckpt",
    "runs diff sweep/0 sweep/1": "PRUNED",
    "runs export out.csv sweep --epochs": "rows of",
    "runs tag sweep/1 good": "good",
    "logs sweep/2": "FloatingPointError: val/loss is nan",
    "report sweep -o page.html": "test set unseen",
    "report cub --no-page": "cub: 1 trials",
    "watch cub --once": "epoch 90 of 400",
}
"""A command, and what it prints among other things."""

REFUSED = {
    "zoom sweep --out .": "the evidence is too thin: 2 trials are complete",
    "confirm sweep": "this user's caviar did not make it here",
    "resume sweep": "this user's caviar did not make it here",
    "resume cub": "it is not training any more (it ended)",
    "replay cub": "this user's caviar did not make it here",
    "stop sweep": "nobody is running this sweep",
    "cancel sweep": "nobody is running this sweep",
    "stop cub": "it is not training any more (it ended)",
}


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a version's outputs in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAVIAR_OUTPUTS", raising=False)
    shutil.copytree(GOLDEN / request.param, tmp_path / "outputs")
    return tmp_path


def test_every_command_reads_the_folders_of_published_versions(golden: Path, caviar):
    for line, seen in READ.items():
        done = caviar(*line.split(" ", 4) if "--where" in line else line.split())
        assert (done.status, "error" in done.err) == (0, False), f"{line}: {done.err}"
        assert seen in done.out + done.err, f"{line}: {done.out}"
    for line, why in REFUSED.items():
        done = caviar(*line.split())
        assert (done.status, done.err.count("\n")) == (2, 1), f"{line}: {done.err}"
        assert why in done.err


def test_python_reads_the_folders_of_published_versions(golden: Path):
    sweep = load("sweep")
    assert list(sweep.trials["state"]) == ["PRUNED", "COMPLETE", "FAIL"]
    assert sweep.trials.loc[1, "value"] == pytest.approx(1.1035405)
    assert sweep.metrics.groupby("trial").size().to_dict() == {0: 2, 1: 3, 2: 1}
    assert (
        sweep.run(1).checkpoint == golden / "outputs/sweeps/sweep/trials/0001/checkpoints/best.ckpt"
    )
    assert sweep.run(1).config["optimizer"]["lr"] == 1e-5


def test_a_sweep_that_this_minor_version_began_is_gone_on_with(golden: Path, request):
    wrote = request.node.callspec.params["golden"]
    now = tomllib.loads((GOLDEN.parents[1] / "pyproject.toml").read_text())["project"]["version"]
    if wrote.split(".")[:2] != now.split(".")[:2]:
        pytest.skip("a sweep is resumed by the minor version that began it")
    folder = golden / "outputs/sweeps/sweep"
    text = (folder / "sweep.yaml").read_text().replace("/tmp/example", str(golden))
    (folder / "sweep.yaml").write_text(text)
    made = json.loads(
        (folder / MADE).read_text()
    )  # a copy is none of ours, unless it is signed here
    mark(folder, {name: (folder / name).read_text() for name in made["files"]}, made["started"])
    done = copies.run(
        [sys.executable, "-m", "caviar.cli", "resume", "outputs/sweeps/sweep", "n_trials=4"],
        cwd=golden, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr  # one of them has failed, as before
    states = load("sweep").trials["state"].to_dict()
    assert {number: states[number] for number in range(3)} == {
        0: "PRUNED",
        1: "COMPLETE",
        2: "FAIL",
    }
    assert len(states) == 4
