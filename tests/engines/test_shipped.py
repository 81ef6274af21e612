"""What lanes know by heart is the template as it ships: what is changed in it is what a sweep trains."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import project
from caviar.engines.shipped import AROUND, TRAINING, changed, fingerprint
from tests import copies

HERE = Path(project.__file__).parent


def test_lanes_stand_for_the_code_as_it_is() -> None:
    wrong = changed(HERE) or changed(HERE, around=True)
    assert wrong is None, "see that lanes do the same, then put its fingerprint there"


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
    first = fingerprint(path, "project")
    path.write_text(after)
    assert (fingerprint(path, "project") == first) is same


@pytest.mark.parametrize("name", [*TRAINING, *AROUND])
def test_every_file_that_lanes_stand_for_is_there(name: str) -> None:
    assert (HERE / name).is_file()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template under another name, whose training step multiplies the loss by 0."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(HERE, folder / "src/mine", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE.parents[1] / "configs", folder / "configs")
    for path in (*folder.rglob("*.py"), *folder.rglob("*.yaml")):
        text = path.read_text()
        path.write_text(
            re.sub(r"\bproject\.", "mine.", text).replace("from project import", "from mine import")
        )
    code = folder / "src/mine/supervised.py"
    step = "loss = self.loss_per_sample(self(x), targets).mean()"
    assert step in code.read_text()
    code.write_text(code.read_text().replace(step, step.replace("self.loss", "0 * self.loss")))
    return folder


@pytest.mark.parametrize(("engine", "by"), [("fused", "fused"), ("auto", None), ("solo", "solo")])
def test_a_changed_training_step_is_what_a_sweep_trains(
    clone: Path, engine: str, by: str | None, cache: Path
) -> None:
    line = [sys.executable, "-m", "mine.train", "-m", "trainer.max_epochs=2", "space=none"]
    more = [
        "optimizer.lr=1e-2,3e-2", "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={engine}",
        "hydra.sweeper.report=false", f"engine={engine}", "allow=[mine.]",
        "hydra.sweeper.executor.workers=1", "hydra.sweeper.executor.threads=1",
    ]  # fmt: skip
    done = copies.run(
        [*line, *more],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone / "src")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accept" not in done.stdout + done.stderr
    assert "not on lanes" not in done.stdout, done.stdout
    for number in range(2):
        result = json.loads((clone / f"{engine}/trials/{number:04}/result.json").read_text())
        assert by in (None, result["facts"]["engine"])
        assert result["facts"]["metrics"]["train/loss"] == 0
