"""In which order runs are shown, whatever values they have."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError
from caviar.reading.rows import Row, Rows
from caviar.reading.select import columns_named, in_order, matching

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(),
    st.just(math.nan),
    st.text("ab1", max_size=2),
)
MISSING = "not there"


def runs(values: list[Any]) -> Rows:
    """A run for each value of ``lr``, `MISSING` for one without."""
    return Rows(
        [
            Row(
                folder=Path("/nowhere/sweep/trials") / str(number),
                facts={"run": f"sweep/{number}", "state": "COMPLETE", "started": None,
                       "number": number, "sweep": None, "edits": None, "value": None},
                params={} if value is MISSING else {"lr": value},
                overrides={},
                metrics={},
            )
            for number, value in enumerate(values)
        ],
        [],
    )  # fmt: skip


def numbers(rows: list[Row]) -> list[int]:
    return [row.facts["number"] for row in rows]


def known(value: Any) -> bool:
    return value is not None and value is not MISSING and value == value


@given(st.lists(st.one_of(VALUES, st.just(MISSING)), min_size=1, max_size=8))
def test_sorted_by_a_column_numbers_come_first_then_words_and_what_has_none_last_either_way(
    values: list[Any],
) -> None:
    rows = runs([0.5, *values])
    values = [0.5, *values]
    for sort, downwards in (("lr", False), ("-lr", True)):
        order = numbers(in_order(rows.rows, rows, sort))
        assert sorted(order) == list(range(len(values)))
        here = [values[number] for number in order]
        has = [known(value) for value in here]
        assert has == sorted(has, reverse=True)
        shown = here[: sum(has)]
        if downwards:
            shown.reverse()
        words = [value for value in shown if isinstance(value, str)]
        digits = [value for value in shown if not isinstance(value, str)]
        assert shown == digits + words
        assert digits == sorted(digits)
        assert words == sorted(words)
        without = order[sum(has) :]
        assert without == sorted(without)


@given(st.lists(VALUES, min_size=1, max_size=8), st.integers(-9, 9))
def test_a_condition_and_its_opposite_share_no_run(values: list[Any], limit: int) -> None:
    rows = runs([1, *values])
    below = numbers(matching(rows, f"lr < {limit}"))
    above = numbers(matching(rows, f"lr >= {limit}"))
    assert not {*below} & {*above}
    sure = [n for n, v in enumerate([1, *values])
            if isinstance(v, int | float) and not isinstance(v, bool) and not math.isnan(v)]  # fmt: skip
    assert {*sure} <= {*below} | {*above}
    assert numbers(matching(rows, None)) == list(range(len(values) + 1))


@given(st.lists(st.sampled_from(["lr", "run", "value", "state"]), min_size=1, max_size=6))
def test_columns_are_those_named_each_once_as_they_were_named(names: list[str]) -> None:
    rows = runs([1])
    assert columns_named(rows, " , ".join(names)) == list(dict.fromkeys(names))


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_a_list_of_no_columns_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no column"):
        columns_named(runs([1]), text)


def test_a_column_that_no_run_has_is_refused_with_the_nearest() -> None:
    rows = runs([1])
    with pytest.raises(UsageError, match="did you mean state"):
        in_order(rows.rows, rows, "stat")
