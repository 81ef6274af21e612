"""What a sweep means, told at its end: by a process of its own.

It is no call, so that neither its memory (pandas, plotly) nor an error of it can harm the sweep, and so
that the last table is printed meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from caviar.base.errors import name_and_text
from caviar.base.plain import echo
from caviar.base.words import WHAT_NEXT
from caviar.runs.places import typed

TIMEOUT = 300
"""Seconds; 10,000 trials of 10 epochs take 4."""
WARNINGS = 3


class Reporting:
    """The judging of a sweep, and the writing of its report: it goes on beside this process.

    It is a context: whatever of it is under way ends with it.

    Args:
        folder: the sweep's.
        page: whether ``report.html`` is written.
    """

    def __init__(self, folder: Path, page: bool) -> None:
        self._folder = folder
        self._again = f"caviar report {typed(folder)}"
        self._page = page
        self._told: dict[str, Any] | None = None
        self._problem = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def prepare(self) -> None:
        """Start the process, which imports what it needs (1.5 s), and waits for `begin`."""
        command = [sys.executable, "-m", "caviar.cli", "report", str(self._folder), "--json"]
        self._process = subprocess.Popen(
            [*command, "--page" if self._page else "--no-page", "--no-predictions", "--when-told"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for this process to hear
            # Its matrices are small, and threads would spin in wait of the next one.
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONIOENCODING": "utf-8"},
        )

    def begin(self) -> None:
        """Have it judge: all that there is to read is in the sweep's folder."""
        if self._process is None:
            self.prepare()
        assert self._process is not None
        with suppress(BrokenPipeError):  # it has ended: `wait` says how
            print(file=self._process.stdin, flush=True)

    def wait(self) -> None:
        """Wait until it is done: then it is known what the trials are worth."""
        assert self._process is not None
        try:
            found, said = self._process.communicate(timeout=TIMEOUT)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            self._problem = f"no report: {name_and_text(error)}; try again with: {self._again}"
            return
        if self._process.returncode:
            lines = said.strip().splitlines()
            last = lines[-1] if lines else f"exit status {self._process.returncode}"
            self._problem = f"no report: {last}; try again with: {self._again}"
            return
        self._told = json.loads(found)

    @property
    def worth(self) -> list[dict[str, Any]]:
        """What the best trials are worth, as `caviar.reports.data.worth_of` gives it."""
        return self._told["sweeps"][0]["worth"] if self._told else []

    def show(self) -> None:
        """Print the most important warnings and the report's path, or why there is none."""
        told = self._told
        if told is None:
            echo(self._problem)
            return
        warned = [v for v in told["sweeps"][0]["verdicts"] if v["status"] == "warn"]
        # What to do next is no warning; that nothing is to be done is worth a line, too.
        following = [v for v in told["sweeps"][0]["verdicts"] if v["name"] == WHAT_NEXT]
        stops = [v for v in following if v["sentence"].startswith("stop: ")]
        for verdict in [*stops, *warned[:WARNINGS]]:
            echo(f"{'' if verdict in following else 'warning: '}{verdict['sentence']}")
            if verdict["next"]:
                echo(f"    next: {verdict['next']}")
        if len(warned) > WARNINGS:
            echo(f"    and {len(warned) - WARNINGS} more in the report: {self._again}")
        if self._page:
            echo(f"report:          {typed(told['report'])}")
        sys.stdout.flush()
