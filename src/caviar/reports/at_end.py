"""The report at the end of a sweep: written by a process of its own, so that it cannot harm the sweep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from caviar.runs.folder import REPORT

TIMEOUT = 300
"""Seconds; 1,000 trials of 50 epochs take 5."""


def report_at_end(folder: Path) -> None:
    """Write ``report.html`` into ``folder``; print its path, or why there is none."""
    command = [sys.executable, "-m", "caviar.cli", "report", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"no report: {error}")
        return
    said = done.stderr.strip()
    if done.returncode:
        last = said.splitlines()[-1] if said else f"exit status {done.returncode}"
        print(f"no report: {last}; try again with: caviar report {folder}")
        return
    print(f"report:          {folder / REPORT}", flush=True)
