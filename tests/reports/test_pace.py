"""The time that is told to be left is right within a third, long before a sweep's end."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from caviar.base.messages import Finished, Pruned, Ready, Started
from caviar.reports import pace
from caviar.reports.tally import Tally

pytestmark = pytest.mark.fast

Length = Callable[[random.Random], int]


def steady(numbers: random.Random) -> int:
    return 20


def varied(numbers: random.Random) -> int:
    return numbers.randint(10, 30)


def pruned(numbers: random.Random) -> int:
    return 20 if numbers.random() < 0.25 else 3


@pytest.mark.parametrize(
    ("length", "lanes", "trials"),
    [
        *((steady, 1, 40), (steady, 64, 300), (steady, 100, 200)),
        *((varied, 1, 40), (varied, 4, 60), (varied, 64, 300)),
        *((pruned, 8, 300), (pruned, 64, 400)),
    ],
)
def test_the_time_left_is_right_within_a_third(
    monkeypatch: pytest.MonkeyPatch, length: Length, lanes: int, trials: int
) -> None:
    numbers, now = random.Random(0), 0.0
    monkeypatch.setattr(pace, "monotonic", lambda: now)
    tally = Tally(trials, ["maximize"], ["val/acc"])
    now = 30.0  # workers load, for longer than a trial takes
    tally.happened(Ready("cpu:0"))
    running: dict[int, list[int]] = {}
    told: list[tuple[float, float]] = []
    begun = 0
    while begun < trials or running:
        while len(running) < lanes and begun < trials:
            tally.happened(Started(begun, "cpu:0"))
            running[begun] = [0, length(numbers)]
            begun += 1
        now += numbers.uniform(0.8, 1.2)
        for number, lane in list(running.items()):
            lane[0] += 1
            if lane[0] == lane[1]:
                del running[number]
                short = length is pruned and lane[1] == 3
                end = Pruned(number, 0.1, 1.0) if short else Finished(number, [0.5], 1.0)
                tally.happened(end)
        left = tally.seconds_left
        if 0.3 * trials <= tally.ended <= 0.8 * trials and left is not None:
            told.append((now, left))
    right = [abs(left - (now - at)) <= (now - at) / 3 for at, left in told]
    assert sum(right) >= 0.9 * len(right) > 0


def test_nothing_is_told_before_a_trial_has_come_to_its_end() -> None:
    tally = Tally(4, ["minimize"], ["loss"])
    for number in range(3):
        tally.happened(Started(number, "cpu:0"))
    assert tally.seconds_left is None
    tally.happened(Pruned(0, 1.0, 1.0))
    assert tally.seconds_left is None  # the others may take ten times as long
    tally.happened(Finished(1, [1.0], 1.0))
    assert tally.seconds_left is not None
