"""A sweep read back from its folder: its space, and its trials as their runs told them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caviar.base.direction import no_best, sign
from caviar.base.errors import UsageError
from caviar.runs.folder import RESULT, Result, repeated, was_stopped
from caviar.space.grammar import read as read_grammar
from caviar.space.space import Space
from caviar.sweep import record
from caviar.zoom.next_space import Tried


@dataclass(frozen=True)
class FinishedSweep:
    """A sweep's folder, its ``sweep.yaml``, its space, and every trial's ``result.json``."""

    folder: Path
    recorded: dict[str, Any]
    space: Space
    results: list[Result]

    @property
    def sign(self) -> float:
        """Times a score, it gives a loss.

        Raises:
            UsageError: the sweep has several objectives, or it is not known which direction is better.
        """
        signed = sign(self.recorded)
        if signed is None:
            raise UsageError(f"{self.folder}: {no_best(self.recorded)}; this needs one objective")
        return float(signed)

    @property
    def ranked(self) -> list[Result]:
        """Complete trials, the best first."""
        sign = self.sign
        complete = [result for result in self.results if result.state == "COMPLETE"]
        return sorted(complete, key=lambda result: (sign * _value(result), result.number or 0))

    def tried(self) -> list[Tried]:
        """The trials for `caviar.zoom.next_space`; a pruned one is no better than the median."""
        sign = self.sign
        complete = [sign * _value(result) for result in self.ranked]
        median = float(np.median(complete)) if complete else 0.0
        found = []
        again = repeated(result.facts for result in self.results)
        for result in self.results:
            if result.number in again:
                continue
            if result.state == "COMPLETE":
                loss = sign * _value(result)
            elif result.state == "PRUNED":
                last = median if result.value is None else sign * _value(result)
                loss = max(last, median)
            elif result.state == "FAIL" and not _no_fault(result.error):
                loss = None
            else:
                continue
            found.append(Tried(self.values(result), loss))
        return found

    def values(self, result: Result) -> dict[str, Any]:
        """A trial's values under the names that the space has (``+key`` for an added one)."""
        names = {h.name.lstrip("+"): h.name for h in self.space.hyperparameters}
        return {names[key]: value for key, value in result.params.items() if key in names}


def open_sweep(name: str | Path) -> FinishedSweep:
    """Read the sweep in the folder ``name``.

    Raises:
        UsageError: it is not a sweep's folder, or a file in it is not readable.
    """
    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(f"{name}: no such folder")
    recorded = record.read(folder)
    hyperparameters = read_grammar(recorded["space"], []).hyperparameters
    space = Space.build(hyperparameters, recorded.get("when") or {}, lambda parent: None)
    files = sorted((folder / "trials").glob(f"*/{RESULT}"))
    return FinishedSweep(folder, recorded, space, [Result.read(file.parent) for file in files])


def _no_fault(error: str | None) -> bool:
    """Whether the values are not to blame: the trial was stopped, or its worker lost."""
    return was_stopped(error) or str(error).startswith("WorkerLost")


def _value(result: Result) -> float:
    assert isinstance(result.value, int | float)
    return float(result.value)
