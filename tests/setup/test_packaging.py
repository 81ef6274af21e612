"""Both ways to install: a wheel of caviar alone, and an editable install that reads the clone."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.setup.trees import PACKAGE, ROOT, SITE_PACKAGES, environment, run

LOOK = """
import json, caviar
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
sweepers = {p.__name__: p.__module__ for p in Plugins.instance().discover(Sweeper)}
plugin = __import__(sweepers["CaviarSweeper"], fromlist=["x"])
print(json.dumps([caviar.__file__, plugin.__file__]))
"""


def plain_venv(folder: Path) -> tuple[Path, Path]:
    """A venv that sees what the tests' own environment has, but none of what is editable there.

    Python reads a `.pth` file's lines as folders to search; `.pth` files in those are not read.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    site_packages = Path(
        sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    )
    (site_packages / "z.pth").write_text(f"{SITE_PACKAGES}\n")
    return folder / "bin" / "python", site_packages


def install(python: Path, what: list[str | Path], env: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
    done = run(*command, "--no-index", "--no-build-isolation", *what, cwd=python.parent, env=env)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    python, site_packages = plain_venv(folder / "venv")
    install(python, [next(folder.glob("*.whl"))])
    return python, site_packages


def test_a_wheel_brings_caviar_and_the_hydra_plugin_and_no_project(wheel, tmp_path):
    python, site_packages = wheel
    done = run(python, "-c", LOOK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [str(Path(file).relative_to(site_packages)) for file in json.loads(done.stdout)] == [
        "caviar/__init__.py",
        "hydra_plugins/caviar_sweeper/__init__.py",
    ]
    assert not (site_packages / PACKAGE).exists()
    assert not (site_packages / "configs").exists()


def test_a_project_made_by_the_wheel_trains_sweeps_and_passes_its_tests(wheel, tmp_path):
    python, _ = wheel
    caviar = python.parent / "caviar"
    done = run(caviar, "new", "pearls", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    project = tmp_path / "pearls"
    left = [file for file in project.rglob("*") if file.name in (PACKAGE, "lessons")]
    assert left == []
    assert f"{PACKAGE}.train" not in "".join(f.read_text() for f in project.rglob("*.[pymt]*"))
    install(python, ["-e", project], env=environment(PYTHONPATH=SITE_PACKAGES))
    few = ("data=synthetic", "trainer.max_epochs=1")
    sweep = ("-m", "hydra.sweeper.n_trials=2", "hydra.sweeper.executor.workers=1", "name=two")
    for words in (("name=one",), sweep):
        done = run(python, "-m", "pearls.train", *words, *few, cwd=project)
        assert done.returncode == 0, done.stderr
    assert "not on lanes" not in done.stdout
    done = run(caviar, "runs", "list", "--json", cwd=project)
    listed = json.loads(done.stdout)["runs"]
    assert {(one["run"], one["state"]) for one in listed} == {
        ("one", "COMPLETE"), ("two/0", "COMPLETE"), ("two/1", "COMPLETE")
    }  # fmt: skip
    chosen = ("-q", "-p", "no:cacheprovider", "-k", "default or synthetic")
    done = run(python, "-m", "pytest", *chosen, cwd=project)
    assert done.returncode == 0, done.stdout[-3000:]
    again = run(caviar, "new", "pearls", cwd=tmp_path)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


def test_a_machines_own_settings_stay_out_of_the_wheel(tmp_path):
    tree = tmp_path / "tree"
    for folder in ("configs", "src", f"tests/{PACKAGE}"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copy(ROOT / name, tree)
    (tree / "configs" / "local" / "default.yaml").write_text("secret: 1\n")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=tree)
    assert done.returncode == 0, done.stderr
    listing = run(sys.executable, "-m", "zipfile", "-l", next(tmp_path.glob("*.whl")), cwd=tree)
    assert "caviar/app/template/configs/train.yaml" in listing.stdout
    assert "configs/local/default.yaml" not in listing.stdout


def test_an_editable_install_reads_the_clone_and_is_found_by_hydra(tmp_path):
    python, _ = plain_venv(tmp_path / "venv")
    install(python, ["-e", ROOT], env=environment(PYTHONPATH=SITE_PACKAGES))
    done = run(python, "-c", LOOK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [str(Path(file).relative_to(ROOT)) for file in json.loads(done.stdout)] == [
        "src/caviar/__init__.py",
        "src/hydra_plugins/caviar_sweeper/__init__.py",
    ]
    composed = run(python, "-m", f"{PACKAGE}.train", "--cfg", "job", cwd=tmp_path)
    assert composed.returncode == 0, composed.stderr
