"""The page's numbers are those that each value and each trial alone would give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caviar.reports.curves import by_trial, rounded

pytestmark = pytest.mark.fast

HALFWAY = st.builds(
    lambda n, e: (n + 0.5) * 10.0**e, st.integers(10_000, 99_999), st.integers(-20, 12)
)
POWERS = st.builds(lambda e, s: s * 10.0**e, st.integers(-20, 20), st.sampled_from([1.0, -1.0]))
NEAR = st.builds(np.nextafter, HALFWAY | POWERS, st.sampled_from([-1e300, 1e300]))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e6, 1e6)


@given(values=st.lists(NUMBERS | HALFWAY | POWERS | NEAR, min_size=1))
@example(values=[0.0, -0.0, 0.123455, 99999.5, 999995.0, 1e-300, 5e-324, 1.7e308])
def test_rounding_is_that_of_the_printed_number(values: list[float]) -> None:
    wanted = [float(f"{value:.5g}") for value in values]
    assert str(rounded(np.array(values, float)).tolist()) == str(wanted)


def one_by_one(rows: list[tuple[int, int, float]], step: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for trial in dict.fromkeys(row[0] for row in rows):
        own = [(epoch, y) for t, epoch, y in rows if t == trial and math.isfinite(y)]
        kept = [row for place, row in enumerate(own) if place % step == 0 or row is own[-1]]
        x = [epoch for epoch, _ in kept]
        if kept:
            plain = x == list(range(len(x)))
            found[str(trial)] = {"y": [y for _, y in kept], "x": None if plain else x}
    return found


ROWS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 9)),
    st.sampled_from([0.0, 1.0, 2.5, math.nan, math.inf]),
)


@given(rows=ROWS, step=st.integers(1, 4))
def test_each_trial_keeps_every_few_epochs_and_its_last(
    rows: dict[tuple[int, int], float], step: int
) -> None:
    ordered = [(trial, epoch, y) for (trial, epoch), y in sorted(rows.items())]
    trials, epochs, values = np.array(ordered, float).reshape(-1, 3).T
    found = by_trial(trials.astype(int), epochs.astype(int), values, step)
    assert found == one_by_one(ordered, step)
