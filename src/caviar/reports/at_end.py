"""The report at the end of a sweep: written by a process of its own, so that it cannot harm the sweep."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from caviar.runs.folder import REPORT

TIMEOUT = 300
"""Seconds; 1,000 trials of 50 epochs take 5."""


class Reporting:
    """The writing of a sweep's ``report.html``, which begins at once and goes on beside this process.

    Args:
        folder: the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "caviar.cli", "report", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tell(self) -> None:
        """Wait for it, and print the report's path, or why there is none."""
        try:
            _, said = self._process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.communicate()
            print(f"no report: {error}")
            return
        if self._process.returncode:
            lines = said.strip().splitlines()
            last = lines[-1] if lines else f"exit status {self._process.returncode}"
            again = f"caviar report {shlex.quote(str(self._folder))}"
            print(f"no report: {last}; try again with: {again}")
            return
        print(f"report:          {self._folder / REPORT}", flush=True)
