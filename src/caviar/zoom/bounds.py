"""Where a hyperparameter's next interval ends: beyond the old one, but within what it is by its nature."""

from __future__ import annotations

import math
import sys

from caviar.base.errors import UsageError
from caviar.space.hyperparameters import LARGEST, Hyperparameter, Interval, Range
from caviar.space.lattice import MOST_STEPS, Lattice
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG

_HUGE = sys.float_info.max / 4
"""No bound passes this: the width of an interval is to be a float too."""


def reach(h: Hyperparameter, low: float, high: float) -> Interval | Range:
    """The hyperparameter between two positions of the old one, which may lie beyond its ends."""
    if isinstance(h, Range):
        count = len(h.values) - 1
        first, last = math.floor(low * count + 1e-9), math.ceil(high * count - 1e-9)
        if low >= 0 and high <= 1:
            # Lattice points inside; where there is none, the nearest one.
            first, last = math.ceil(low * count - 1e-9), math.floor(high * count + 1e-9)
            first, last = (first, last) if first <= last else (round((low + high) / 2 * count),) * 2
        if h.start >= 0:
            # Not below 0, and a count that began at 1 or more not below 1.
            floor = 1 if h.integer and h.start >= 1 else 0
            first = max(first, -math.floor((h.start - floor) / h.step + 1e-9))
        most = LARGEST if h.integer else MOST_STEPS * h.step
        first = max(first, -math.floor((most + h.start) / h.step))
        last = min(last, math.floor((most - h.start) / h.step) - 1)
        try:
            return _between(h, first, last)
        except UsageError:  # out there its points have more digits than float64 holds
            return _between(h, min(max(first, 0), count), max(min(last, count), 0))
    assert isinstance(h, Interval)
    a, b = h.scale.forward(h.low), h.scale.forward(h.high)
    ends = [h.scale.backward(a + place * (b - a)) for place in (low, high)]
    ends = [_rounded(h, end, up) for end, up in zip(ends, (False, True), strict=True)]
    if low >= 0:
        ends[0] = max(ends[0], h.low)
    if high <= 1:
        ends[1] = min(ends[1], h.high)
    floor, ceiling = _nature(h)
    first, last = max(ends[0], floor), min(ends[1], ceiling)
    if h.integer and first == last:
        first, last = max(first - 1, int(h.low)), min(last + 1, int(h.high))
    return Interval(h.name, first, last, h.scale, h.integer)


def _between(h: Range, first: int, last: int) -> Range:
    """The lattice of a range from its point ``first`` to its point ``last``, which may lie beyond it."""
    lattice = Lattice(h.start, h.stop, h.step)
    ends = [lattice.at(place) for place in (first, last + 1)]
    start, stop = map(int, ends) if h.integer else ends
    return Range(h.name, start, stop, h.step)


def _nature(h: Interval) -> tuple[float, float]:
    """Bounds that no value passes: a count stays 1 or more, a share between 0 and 1."""
    if h.integer:
        return (1 if h.low >= 1 else 0 if h.low >= 0 else -LARGEST), LARGEST
    if h.scale is LINEAR and h.low >= 0:
        return 0.0, (h.high if h.high == 1 else 0.99) if h.high <= 1 else _HUGE
    least = 0.0 if h.scale is REVERSE_LOG else sys.float_info.min if h.scale is LOG else -_HUGE
    return least, _HUGE


def _rounded(h: Interval, value: float, up: bool) -> float:
    """Outward to three digits: what a person would write."""
    if h.integer:
        return math.ceil(value - 1e-9) if up else math.floor(value + 1e-9)
    # On reverse_log the digits that count are those of 1 - x.
    mirrored = h.scale is REVERSE_LOG
    number, up = (1 - value, not up) if mirrored else (value, up)
    span = abs(h.high - h.low) if h.scale is LINEAR else abs(number)
    if number == 0 or span == 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(span)) - 2)
    steps = math.ceil(number / unit - 1e-6) if up else math.floor(number / unit + 1e-6)
    rounded = float(f"{steps * unit:.12g}")
    return float(f"{1 - rounded:.12g}") if mirrored else rounded


def width(now: Hyperparameter) -> float:
    """How much ``now`` holds, on its scale: values of a lattice, else a length."""
    if isinstance(now, Range):
        return len(now.values)
    assert isinstance(now, Interval)
    margin = 0.5 if now.integer else 0.0
    return abs(now.scale.forward(now.high + margin) - now.scale.forward(now.low - margin))


def end_of(now: Hyperparameter, low: bool) -> float:
    """The lowest or highest value of ``now``."""
    if isinstance(now, Range):
        return now.values[0 if low else -1]
    assert isinstance(now, Interval)
    return now.low if low else now.high
