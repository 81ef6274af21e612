"""What a sweep means, told at its end: by a process of its own, so that it cannot harm the sweep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TIMEOUT = 300
"""Seconds; 1,000 trials of 50 epochs take 5."""
WARNINGS = 3


def report_at_end(folder: Path, page: bool = True) -> None:
    """Print the most important warnings, and the path of ``report.html`` where a ``page`` is wanted;
    or why there is nothing to tell."""
    command = [sys.executable, "-m", "caviar.cli", "report", str(folder), "--json"]
    command += [] if page else ["--no-page"]
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
    told = json.loads(done.stdout)
    warned = [v for v in told["sweeps"][0]["verdicts"] if v["status"] == "warn"]
    for verdict in warned[:WARNINGS]:
        print(f"warning: {verdict['sentence']}")
        if verdict["next"]:
            print(f"    next: {verdict['next']}")
    if len(warned) > WARNINGS:
        print(f"    and {len(warned) - WARNINGS} warnings more: caviar report {folder}")
    if page:
        print(f"report:          {told['report']}", flush=True)
