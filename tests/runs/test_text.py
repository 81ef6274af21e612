"""A file's text put together by hand is the library's."""

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.runs.config import to_yaml
from caviar.runs.text import CsvText, json_text, yaml_text

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


def strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


@given(value=TREES)
def test_json_is_the_librarys(value: Any) -> None:
    assert json_text(value) == json.dumps(strict(value), indent=1)


@given(value=TREES)
def test_yaml_is_the_librarys(value: Any) -> None:
    assert yaml_text(value) == to_yaml(value)


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["epoch", "step", "val/acc", "a,b", 'q"', "train/loss"]),
        st.integers() | st.floats() | st.none() | WORDS,
        min_size=1,
        max_size=4,
    ),
    max_size=6,
)


@given(rows=ROWS, cuts=st.lists(st.integers(0, 6), max_size=3))
def test_a_table_that_grows_is_the_one_that_is_written_at_once(
    rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    wanted = io.StringIO()
    writer = csv.DictWriter(wanted, columns, restval="", lineterminator="\n")
    if rows:
        writer.writeheader()
    writer.writerows(rows)
    growing = CsvText()
    for cut in sorted(cuts):
        growing.of(rows[:cut])
    assert growing.of(rows) == wanted.getvalue()
