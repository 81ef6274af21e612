"""The code that a run used: the commit of its repository, and the versions of packages."""

from __future__ import annotations

import subprocess
import sys

PACKAGES = ("caviar", "torch", "lightning", "hydra-core", "optuna", "numpy")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a result may depend on."""
    # Imported here: a sweep's workers start before anybody asks.
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the working directory, with ``-dirty`` where files differ; None outside git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
