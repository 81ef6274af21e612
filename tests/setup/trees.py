"""Copies of this repository, and processes that run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MACHINERY = {"caviar", "hydra_plugins"}
PACKAGE = next(
    p.parent.name for p in ROOT.glob("src/*/__init__.py") if p.parent.name not in MACHINERY
)
"""The cloner's package: a renamed tree must pass its own tests, these included."""

SITE_PACKAGES = sysconfig.get_path("purelib")
LEFT_OUT = (
    ".git",
    ".venv*",
    "outputs",
    "dist",
    "__pycache__",
    ".coverage*",
    ".*_cache",
    ".hypothesis",
)


def copy_tree(to: Path) -> Path:
    """What an unpacked zip of the repository is: no git, no `.venv`, no local settings."""
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for config in (to / "configs" / "local").glob("*.yaml"):
        config.unlink()
    return to


def environment(**changes: str) -> dict[str, str]:
    """This process's, less what would lead a copy back to the original."""
    ours = ("COV_", "COVERAGE_", "PYTEST_", "PYTHON", "CAVIAR_", "HYDRA_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, **changes}


def run(
    *command: str | Path, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end, with nothing to read; stdout and stderr are kept as text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def python_in(tree: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run this Python in a copy, whose own `src` comes before what is installed."""
    env = environment(PYTHONPATH=str(tree / "src"), OMP_NUM_THREADS="1")
    return run(sys.executable, *arguments, cwd=tree, env=env)
