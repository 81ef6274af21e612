"""The hypervolume is that of the union of boxes, however many points say so."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.hypervolume import growth, hypervolume

pytestmark = pytest.mark.fast

POINTS = st.integers(1, 4).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 6)] * d), min_size=1, max_size=8)
)


@given(POINTS)
def test_it_counts_the_cells_that_some_point_is_as_good_as(points: list[tuple[int, ...]]) -> None:
    reference = [5] * len(points[0])

    def cells(corner: list[int]) -> int:
        if len(corner) < len(reference):
            return sum(cells([*corner, place]) for place in range(5))
        return any(all(p <= c for p, c in zip(point, corner, strict=True)) for point in points)

    assert hypervolume(points, reference) == cells([])


@given(POINTS, st.randoms(use_true_random=False))
def test_neither_order_nor_a_worse_point_matters(
    points: list[tuple[int, ...]], numbers: random.Random
) -> None:
    reference = [7] * len(points[0])
    mixed = [*points, tuple(x + 1 for x in points[0])]
    numbers.shuffle(mixed)
    assert hypervolume(mixed, reference) == hypervolume(points, reference)


@given(POINTS)
def test_it_only_grows_and_ends_with_that_of_all(points: list[tuple[int, ...]]) -> None:
    found = growth(points)
    assert found == sorted(found)
    assert len(found) == len(points)
    assert all(0 <= share <= 1 + 1e-9 for share in found)
    alone = [part for part in zip(*points, strict=True) if len(set(part)) == 1]
    if not alone:
        worst = [max(part) for part in zip(*points, strict=True)]
        spans = [max(part) - min(part) for part in zip(*points, strict=True)]
        volume = 1.0
        for span in spans:
            volume *= span
        assert found[-1] == pytest.approx(hypervolume(points, worst) / volume)
