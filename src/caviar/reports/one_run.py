"""A single run as a sweep of one trial: its report has its curves, its edits and its config."""

from __future__ import annotations

from pathlib import Path

from caviar.reading.run import Run
from caviar.reading.sweep import Sweep
from caviar.runs.folder import Result


class OneRun(Sweep):
    """The run in ``folder``.

    Raises:
        UsageError: its ``result.json`` cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        result = Result.read(folder)
        config = Run(folder, result).config
        settings = {
            "n_trials": 1,
            "metric": result.metric or config.get("metric"),
            "direction": config.get("direction") or "minimize",
            "git_commit": result.facts.get("git_commit"),
            "versions": result.facts.get("versions"),
        }
        super().__init__(folder, settings)
        # Filled here, the cached property of a sweep is not asked for the folders of trials.
        self._results = {result.number or 0: (folder, result)}
