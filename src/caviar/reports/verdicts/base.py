"""A verdict, and how a function becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Literal

from caviar.base.words import digits
from caviar.reports.evidence import Evidence

Status = Literal["pass", "warn", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """One conclusion.

    Attributes:
        name: what was looked at, a few words.
        status: ``warn`` where something should be done, ``unknown`` where the sweep does not tell.
        sentence: what was found, with its numbers.
        next: the command to run next, or None.
    """

    name: str
    status: Status
    sentence: str
    next: str | None = None

    @property
    def stops(self) -> bool:
        """Whether it says that more search will not be seen."""
        return self.status == "pass" and self.sentence.startswith("stop: ")


Found = tuple[Status, str] | tuple[Status, str, str | None]
"""What a verdict's function gives: status, sentence and, where something can be done, the command."""


def named(name: str) -> Callable[[Callable[[Evidence], Found]], Callable[[Evidence], Verdict]]:
    """Make a verdict of what a function finds."""

    def wrap(judge: Callable[[Evidence], Found]) -> Callable[[Evidence], Verdict]:
        @wraps(judge)
        def verdict(evidence: Evidence) -> Verdict:
            found = judge(evidence)
            return Verdict(name, found[0], found[1], *found[2:])

        return verdict

    return wrap


def short(value: float) -> str:
    """Three significant digits."""
    return digits(value, 3)
