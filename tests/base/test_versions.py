"""The versions that caviar says it was tested with: in one place, and told once where they differ."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from caviar.base import versions
from caviar.base.versions import TESTED, untested, warn_untested
from tests.apps import make_app

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[2]


def after(last: str) -> str:
    """The first version that is beyond ``last``: 1.5 after any 1.4."""
    *head, tail = last.split(".")
    return ".".join([*head, str(int(tail) + 1)])


def test_pyproject_asks_for_the_versions_that_were_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = dict(
        re.fullmatch(r"([\w-]+)(.*)", line).groups()  # type: ignore[union-attr]
        for line in project["dependencies"]
    )
    for library, (low, high) in TESTED.items():
        assert asked[library] == f">={low},<{after(high)}"


def test_the_readme_tells_the_versions_that_were_tested():
    readme = (ROOT / "src/caviar/README.md").read_text()
    for library, (low, high) in TESTED.items():
        assert f"| {library} | {low} | {high} |" in readme


def test_what_is_installed_here_was_tested():
    assert untested() == []


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.3.7", True),
        ("1.3.8", False),
        ("1.4.0rc3", False),
        ("1.4.12", False),
        ("1.5.0.dev1", True),
        ("2.0", True),
    ],
)
def test_an_untested_version_is_told_in_one_line(version, said, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    monkeypatch.setattr(versions, "TESTED", {"hydra-core": ("1.3.8", "1.4")})
    line = f"caviar was tested with hydra-core 1.3.8 to 1.4; this is {version}"
    assert untested() == ([line] if said else [])


def test_it_is_told_once_and_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.1")
    monkeypatch.setattr(versions, "_told", False)
    warn_untested()
    warn_untested()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("warning: caviar was tested with") == len(TESTED)


@pytest.mark.parametrize(("words", "entry"), [(["-O"], "caviar.main"), (["-OO"], "hydra.main")])
def test_python_without_assert_is_refused_in_one_line(tmp_path, words, entry):
    line = [sys.executable, *words, "-m", "project.train", "name=it"]
    if entry == "hydra.main":
        line[2:] = [str(make_app(tmp_path / "app").folder / "app.py"), "-m"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    level = words[0].count("O")
    told = f"error: PYTHONOPTIMIZE={level}: python {words[0]} leaves out what Hydra reads choice(1,2) by"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{told}; unset it, or use 0\n"
    assert not list(tmp_path.glob("**/trials"))
    assert not (tmp_path / "outputs").exists()
