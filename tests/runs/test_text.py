"""The text of a run's files."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.runs.text import csv_text, strict, to_yaml, yaml_text

pytestmark = pytest.mark.fast

WORDS = st.sampled_from(
    ["lr", "val/acc", "true", "null", "1e3", "0x1", "a: b", "- a", "", " ", "~", "é", "a,b", 'q"',
     "${oc.env:TOKEN}", "torch.optim.Adam", "optimizer.lr=0.01", "2001-01-01", "line\nbreak", "#"]
) | st.text(max_size=60)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
SCALARS |= st.from_regex(r"[a-z_.]{1,9}=[a-zA-Z0-9_.+-]{0,9}", fullmatch=True)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(value=TREES)
def test_json_is_strict_and_all_that_is_finite_comes_back(value: Any) -> None:
    text = json.dumps(strict(value), allow_nan=False)
    assert json.dumps(json.loads(text)) == text
    if "nan" not in repr(value) and "inf" not in repr(value):
        assert json.loads(text) == value


@given(value=TREES)
def test_yaml_is_the_librarys(value: Any) -> None:
    assert yaml_text(value) == to_yaml(value)


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["epoch", "step", "val/acc", "a,b", 'q"', "train/loss"]),
        st.integers()
        | st.floats()
        | st.none()
        | WORDS.filter(lambda word: "\r" not in word),  # which older csv does not quote
        min_size=1,
        max_size=4,
    ),
    max_size=6,
)


@given(rows=ROWS)
def test_a_table_has_a_column_for_whatever_a_row_holds(rows: list[dict[str, Any]]) -> None:
    lines = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    assert lines[:1] == ([columns] if rows else [])
    for row, cells in zip(rows, lines[1:], strict=True):
        held = dict(zip(columns, cells, strict=True))
        wanted = {name: "" if row.get(name) is None else str(row[name]) for name in columns}
        assert held == wanted
