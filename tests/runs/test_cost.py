"""What training cost: wall time is that of a clock, and lanes share their worker's seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.runs.cost import summed, wall_seconds, worker_seconds

pytestmark = pytest.mark.fast

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=8)


@given(SPANS)
def test_wall_time_counts_each_second_that_some_run_was_under_way_once(
    spans: list[tuple[int, int]],
) -> None:
    runs = [((BEGAN + timedelta(seconds=at)).isoformat(), float(took)) for at, took in spans]
    under_way = {second for at, took in spans for second in range(at, at + took)}
    assert wall_seconds(runs) == pytest.approx(len(under_way))


def test_a_run_that_does_not_say_when_or_how_long_counts_for_nothing() -> None:
    assert wall_seconds([(None, 3.0), (BEGAN.isoformat(), None), ("soon", 1.0)]) == 0
    naive = BEGAN.replace(tzinfo=None).isoformat()
    assert wall_seconds([(naive, 2.0), (BEGAN.isoformat(), 3.0)]) == pytest.approx(3)


def test_a_lane_costs_its_share_and_a_run_by_itself_all_of_its_time() -> None:
    assert worker_seconds(8.0, {"engine": "fused", "worker_seconds": 0.5}) == 0.5
    assert worker_seconds(8.0, {"engine": "solo"}) == 8.0
    assert worker_seconds(8.0, {}) == 8.0
    assert worker_seconds(8.0, {"engine": "fused"}) is None
    assert worker_seconds("1 s", {}) is None
    assert summed([0.5, 1.0]) == 1.5
    assert summed([0.5, None]) is None
    assert summed([]) == 0
