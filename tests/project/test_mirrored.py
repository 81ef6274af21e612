"""Lanes stand for code that they do not call: a change of it must not be swept without it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import project
from project.mirrored import AS_WRITTEN, changed, fingerprint, place

HERE = Path(project.__file__).parent


def test_lanes_stand_for_the_code_as_it_is() -> None:
    assert changed() is None, "see that lanes do the same, then put its fingerprint there"


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("x = f(a, b)", "import g\nx = f( a,\n  b )  # a comment", True),
        ("def f():\n    return 1", "def f():\n    '''One.'''\n    return 1", True),
        ("name = 'project.train'", 'name = "project.train"', True),
        ("x = f(a, b)", "x = f(b, a)", False),
        ("x = 1", "x = 1.0", False),
        ("if a:\n    b()\n    c()", "if a:\n    b()\nelse:\n    c()", False),
        ("def f(a, *, b=1): pass", "def f(a, b=1): pass", False),
        ("x = f'{a:.3f}'", "x = f'{a:.4f}'", False),
    ],
)
def test_a_fingerprint_is_of_what_a_file_does(
    before: str, after: str, same: bool, tmp_path: Path
) -> None:
    path = tmp_path / "code.py"
    path.write_text(before)
    first = fingerprint(path)
    path.write_text(after)
    assert (fingerprint(path) == first) is same


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_every_file_that_lanes_stand_for_is_there(name: str) -> None:
    assert place(name).is_file()


def test_a_changed_training_step_is_what_a_sweep_trains(tmp_path: Path) -> None:
    shutil.copytree(HERE, tmp_path / "src/project", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE.parents[1] / "configs", tmp_path / "configs")
    code = tmp_path / "src/project/supervised.py"
    step = "loss = self.loss_per_sample(self(x), targets).mean()"
    assert step in code.read_text()
    code.write_text(code.read_text().replace(step, step.replace("self.loss", "0 * self.loss")))
    line = [sys.executable, "-m", "project.train", "-m", "trainer.max_epochs=2", "space=none"]
    more = [
        "optimizer.lr=1e-2,3e-2",
        "hydra.sweeper.n_trials=2",
        "hydra.sweep.dir=sweep",
        "hydra.sweeper.report=false",
    ]
    done = subprocess.run(
        [*line, *more],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = "not on lanes, each by its own Trainer: project/supervised.py was changed"
    assert done.stdout.count(said) == 1
    for number in range(2):
        result = json.loads((tmp_path / f"sweep/trials/{number:04}/result.json").read_text())
        assert result["facts"]["engine"] == "solo"
        assert result["facts"]["metrics"]["train/loss"] == 0
