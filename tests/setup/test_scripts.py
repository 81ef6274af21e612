"""`scripts/setup` and `scripts/sweep`, run for real in copies of the repository.

No network is needed: each copy's own `.venv` is shown the packages that these tests run with, so
pip finds every requirement installed and only puts the copy itself in.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.setup.trees import PACKAGE, ROOT, SITE_PACKAGES, copy_tree, environment, run

TOOLS = ["bash", "cat", "dirname", "echo", "head", "mv", "rm", "sed", "sort", "tr", "xargs"]


def offline(**changes: str) -> dict[str, str]:
    return environment(
        PYTHONPATH=SITE_PACKAGES,
        PIP_NO_INDEX="1",
        PIP_NO_BUILD_ISOLATION="0",  # pip's way to say: no isolation
        **changes,
    )


def snapshot(tree: Path) -> dict[str, int]:
    return {
        str(path.relative_to(tree)): path.lstat().st_mtime_ns
        for path in [tree / ".venv", *(tree / ".venv").rglob("*")]
        if "__pycache__" not in path.parts
    }


@dataclass
class Install:
    """A copy's first install: it failed, and was then started twice at the same time."""

    tree: Path
    failed: subprocess.CompletedProcess[str]
    errors: list[str]
    statuses: list[int]


@pytest.fixture(scope="module")
def install(tmp_path_factory) -> Install:
    tree = copy_tree(tmp_path_factory.mktemp("a b") / "copy")
    setup = tree / "scripts" / "setup"
    nothing_to_find = environment(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="")
    failed = run(setup, cwd=Path("/"), env=nothing_to_find)
    both = [
        subprocess.Popen([setup], cwd="/", env=offline(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in both]
    return Install(tree, failed, errors, [process.returncode for process in both])


@pytest.fixture
def installed(install) -> Path:
    assert install.statuses == [0, 0], install.errors
    return install.tree


@pytest.fixture
def bare(tmp_path) -> Path:
    """A copy with no `.venv`, in a path with a space."""
    return copy_tree(tmp_path / "a b")


@pytest.fixture
def tools(tmp_path) -> Path:
    """A PATH with the few tools that set-up uses, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def script(path: Path, body: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
    path.chmod(0o755)


def refusal(tree: Path, env: dict[str, str] | None = None) -> str:
    """The one line by which set-up refuses, with status 1, to do anything."""
    done = run(tree / "scripts" / "setup", cwd=Path("/"), env=env or offline())
    errors = [line for line in done.stderr.splitlines() if not line.startswith("caviar: ")]
    assert (done.returncode, len(errors)) == (1, 1)
    return errors[0]


def test_a_failed_install_shows_pips_reason(install):
    assert install.failed.returncode == 1
    assert re.search(r"^ERROR: .*torch==", install.failed.stderr, re.MULTILINE)
    assert "error: this failed" in install.failed.stderr.splitlines()[-1]


def test_a_failed_install_is_done_again_and_two_at_once_install_once(install):
    assert install.statuses == [0, 0], install.errors
    assert sorted(error.count("\n") for error in install.errors) == [0, 1]


def test_set_up_installs_the_copy_it_belongs_to(installed):
    where = f"import {PACKAGE}, caviar; print({PACKAGE}.__file__); print(caviar.__file__)"
    done = run(installed / ".venv/bin/python", "-c", where, cwd=Path("/"), env=offline())
    assert done.stdout.splitlines() == [
        str(installed / "src" / name / "__init__.py") for name in (PACKAGE, "caviar")
    ]


def test_a_second_set_up_says_and_changes_nothing(installed):
    before = snapshot(installed)
    done = run(installed / "scripts" / "setup", cwd=Path("/"), env=offline())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert snapshot(installed) == before


def test_a_second_set_up_needs_neither_pip_nor_a_python_on_the_path(installed, tools):
    env = environment(PATH=str(tools))
    done = run(installed / "scripts" / "setup", cwd=Path("/"), env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_change_of_the_requirements_is_installed_and_extras_are_kept(installed):
    pyproject = installed / "pyproject.toml"
    assert run(installed / "scripts" / "setup", "dev", cwd=installed, env=offline()).stderr
    assert not run(installed / "scripts" / "setup", "dev", cwd=installed, env=offline()).stderr
    assert not run(installed / "scripts" / "setup", cwd=installed, env=offline()).stderr
    pyproject.write_text(pyproject.read_text().replace('"rich>=13"', '"rich>=13.1"'))
    done = run(installed / "scripts" / "setup", cwd=installed, env=offline())
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert (installed / ".venv" / "caviar-setup").read_text().splitlines()[1] == "dev"


def test_an_extra_that_does_not_exist_is_refused_with_the_list_of_those_that_do(installed):
    done = run(installed / "scripts" / "setup", "developer", cwd=installed, env=offline())
    assert done.returncode == 1
    assert "'developer'" in done.stderr
    assert " dev" in done.stderr


def test_an_update_that_failed_is_not_forgotten_when_its_cause_is_undone(installed):
    pyproject = installed / "pyproject.toml"
    good = pyproject.read_text()
    pyproject.write_text(good.replace('"rich>', '"no-such-package-anywhere", "rich>'))
    assert run(installed / "scripts" / "setup", cwd=installed, env=offline()).returncode == 1
    pyproject.write_text(good)
    done = run(installed / "scripts" / "setup", cwd=installed, env=offline())
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert run(installed / "scripts" / "setup", cwd=installed, env=offline()).stderr == ""


def test_a_python_that_is_too_old_is_named(bare, tools):
    script(tools / "python3", "echo 3.9")
    told = refusal(bare, environment(PATH=str(tools)))
    assert told == "error: Python 3.11, 3.12 or 3.13 is needed, and the python3 here is 3.9"
    assert not (bare / ".venv").exists()


def test_a_newer_python_beside_an_old_python3_is_taken(bare, tools):
    script(tools / "python3", "echo 3.9")
    script(tools / "python3.12", 'case "$*" in *ensurepip*) exit 1 ;; esac; echo 3.12')
    assert refusal(bare, environment(PATH=str(tools))).startswith("error: python3.12 has no venv")


def test_a_missing_python_is_told(bare, tools):
    told = refusal(bare, environment(PATH=str(tools)))
    assert told == "error: Python 3.11, 3.12 or 3.13 is needed, and the python3 here is missing"


def test_a_python_without_venv_is_told_with_the_package_to_install(bare, tools):
    script(
        tools / "python3",
        f'case "$*" in *ensurepip*) exit 1 ;; esac; exec "{sys.executable}" "$@"',
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    told = refusal(bare, environment(PATH=str(tools)))
    assert told.startswith("error: python3 has no venv module")
    assert told.endswith(f"apt-get install python{version}-venv")
    assert not (bare / ".venv").exists()


def test_a_venv_whose_python_is_gone_is_told_with_how_to_mend_it(bare):
    (bare / ".venv" / "bin").mkdir(parents=True)
    (bare / ".venv" / "bin" / "python").symlink_to("/nowhere/python3")
    told = refusal(bare)
    assert "is broken (its Python does not run)" in told
    assert told.endswith(f'rm -rf "{bare}/.venv"')


def test_a_venv_without_pip_is_told_with_how_to_mend_it(bare):
    run(sys.executable, "-m", "venv", "--without-pip", bare / ".venv", cwd=bare)
    told = refusal(bare)
    assert "is broken (it has no pip)" in told
    assert told.endswith(f'rm -rf "{bare}/.venv"')


def test_a_moved_folder_is_noticed(bare):
    run(sys.executable, "-m", "venv", "--without-pip", bare / ".venv", cwd=bare)
    (bare / ".venv" / "caviar-setup").write_text("/elsewhere/.venv\n")
    told = refusal(bare)
    assert "was made in another folder and cannot move" in told
    assert told.endswith(f'rm -rf "{bare}/.venv"')


def test_the_sweep_script_runs_from_anywhere_and_leaves_its_results_in_the_repository(
    installed, tmp_path
):
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").write_text("raise SystemExit('the wrong package')")
    short = ["hydra.sweeper.n_trials=2", "trainer.max_epochs=1", "name=first"]
    done = run(installed / "scripts" / "sweep", *short, cwd=tmp_path, env=offline())
    assert done.returncode == 0, done.stderr
    trials = installed / "outputs" / "sweeps" / "first" / "trials"
    assert len(list(trials.glob("*/result.json"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == [PACKAGE]


def versions_script():
    spec = importlib.util.spec_from_file_location("versions", ROOT / "scripts/test.d/versions.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_oldest_versions_are_the_lower_bounds_and_no_other_torch_is_ever_asked_for():
    script = versions_script()
    oldest, newest = script.requirements("oldest"), script.requirements("newest")
    assert "hydra-core==1.3.8" in oldest
    assert "hydra-core>=1.3.8.dev0" in newest
    assert len(oldest) == len(newest) > 10
    assert not [line for line in [*oldest, *newest] if line.startswith("torch=")]
    assert "torch" in script.pinned()


def test_the_fast_tests_are_of_every_room():
    listing = run(
        sys.executable, "-m", "pytest", "-m", "fast", "--collect-only", "-q", "-n0", cwd=ROOT
    )
    rooms = {line.split("/")[1] for line in listing.stdout.splitlines() if line.count("/") > 1}
    tested = {path.name for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
    assert rooms == tested - {"setup"}
