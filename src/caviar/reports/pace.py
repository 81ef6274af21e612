"""How long the rest of a sweep will take: its trials, as long as those so far, on its lanes."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from dataclasses import dataclass, field
from time import monotonic

SCHEDULED = 1_000
"""Trials that are scheduled one by one; of more, so many stand for all."""
_GOLDEN = 0.6180339887498949


@dataclass
class Pace:
    """The lengths of trials, in seconds, and how many were under way at once.

    That workers take a while to load counts for nothing. Trials that are still under way are evidence too:
    where a pruner ends most of them early, those that ended first say little of the others.
    """

    _began: dict[int, float] = field(default_factory=dict)
    _lengths: list[float] = field(default_factory=list)
    _whole: int = 0
    _at_once: int = 0

    def started(self, number: int) -> None:
        """A trial has begun."""
        self._began[number] = monotonic()
        self._at_once = max(self._at_once, len(self._began))

    def over(self, number: int, ended: bool, whole: bool) -> None:
        """A trial is under way no more; ``ended``: nor will it be again; ``whole``: it came to its end."""
        began = self._began.pop(number, None)
        if began is not None and ended:
            self._lengths.append(monotonic() - began)
            self._whole += whole

    def left(self, trials: int) -> float | None:
        """Seconds until so many more trials have ended, those under way among them.

        None before one has come to its end.
        """
        if not self._whole:
            return None
        now = monotonic()
        so_far = [now - began for began in self._began.values()]
        ends, chance = _survival(self._lengths, so_far)
        lanes = [_rest(ends, chance, age) for age in so_far]
        waiting = max(trials - len(lanes), 0)
        lanes += [0.0] * (min(self._at_once, trials) - len(lanes))
        if not lanes:
            return 0.0
        heapq.heapify(lanes)
        shown = min(waiting, SCHEDULED)
        for place in range(shown):
            length = _quantile(ends, chance, (0.5 + place * _GOLDEN) % 1)
            heapq.heappush(lanes, heapq.heappop(lanes) + length)
        return max(lanes) * (waiting / shown if waiting > SCHEDULED else 1)


def _survival(lengths: list[float], so_far: list[float]) -> tuple[list[float], list[float]]:
    """The lengths at which trials end, in order, and the chance of each (Kaplan and Meier 1958).

    ``lengths`` are of those that have ended, ``so_far`` of those that are under way.
    """
    ends, going = sorted(lengths), sorted(so_far)
    chance, alive = [], 1.0
    for place, length in enumerate(ends):
        at_risk = len(ends) - place + len(going) - bisect_right(going, length)
        chance.append(alive / at_risk)
        alive -= alive / at_risk
    chance[-1] += alive  # beyond the longest there is no evidence
    return ends, chance


def _rest(ends: list[float], chance: list[float], age: float) -> float:
    """How long a trial of this age is expected to go on."""
    first = bisect_right(ends, age)
    weight = sum(chance[first:])
    if weight <= 0:
        return age / 10  # longer than any so far: it will be over soon
    return sum(c * end for c, end in zip(chance[first:], ends[first:], strict=True)) / weight - age


def _quantile(ends: list[float], chance: list[float], share: float) -> float:
    """The length that this share of trials do not exceed."""
    for end, each in zip(ends, chance, strict=True):
        share -= each
        if share <= 0:
            return end
    return ends[-1]
