"""How busy the lanes were."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Occupancy:
    """Counts lane-ticks: a lane of a stack for an epoch, with a trial on it or without.

    Attributes:
        lanes: all of them; ``busy``: those with a trial.
        lanes_before, busy_before: the same up to the last trial's lane: after that, lanes can only
            run empty.
    """

    lanes: int = 0
    busy: int = 0
    lanes_before: int = 0
    busy_before: int = 0

    def admitted(self) -> None:
        """A trial gets a lane."""
        self.lanes_before, self.busy_before = self.lanes, self.busy

    def tick(self, lanes: int, busy: int) -> None:
        """An epoch in a stack has ended."""
        self.lanes += lanes
        self.busy += busy

    def __str__(self) -> str:
        return (
            f"{self.busy} of {self.lanes} lane-ticks busy, "
            f"{self.busy_before} of {self.lanes_before} until the last trial had its lane"
        )
