"""Claims about the look at a table: short, with what settles it, quiet where nothing is odd."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caviar.tables.look import look
from project.check import check

ROWS = 60


def table(tmp_path: Path, **columns: Callable[[int, random.Random], object]) -> Path:
    """A table of one ordinary column, two classes, and the ``columns``, each cell from its row."""
    draw = random.Random(0)
    columns = {"x": lambda i, r: round(r.gauss(0, 1), 6), **columns}
    columns.setdefault("y", lambda i, r: "ab"[i % 2])
    path = tmp_path / "t.csv"
    rows = [[f'"{cell(i, draw)}"' for cell in columns.values()] for i in range(ROWS)]
    lines = [",".join(row) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]).replace('""', "") + "\n")
    return path


def said(path: Path, **settings: Any) -> list[str]:
    return look({"path": str(path), "target": "y", **settings}, 0.15, 0.25)


def test_an_ordinary_table_is_met_with_silence(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        colour=lambda i, r: r.choice(["red", "blue", ""]),
        count=lambda i, r: r.randrange(9),
        share=lambda i, r: f"{r.randrange(99)}%",
        code=lambda i, r: r.choice(["1", "2", "A", "B", "C"]),
    )
    assert said(path) == []


@pytest.mark.parametrize(
    ("cell", "line", "settled"),
    [
        (
            lambda i, r: "?" if i == 7 else r.random(),
            "59 of 60 values are numbers; '?' is not: each is a category: \"data.na_values=['?']\"",
            {"na_values": ["?"]},
        ),
        (
            lambda i, r: f"{r.randrange(99)},{r.randrange(9)}",
            "are words, each a category: \"data.decimal=','\"",
            {"decimal": ","},
        ),
        (
            lambda i, r: f"{r.randrange(1, 99)},{r.randrange(100, 999)},000",
            "are words, each a category: \"data.thousands=','\"",
            {"thousands": ","},
        ),
        (
            lambda i, r: f"2026-01-{r.randrange(10, 30)}",
            "dates, each of which is a category: 'data.dates=[odd]'",
            {"dates": ["odd"]},
        ),
        (
            lambda i, r: f"{r.randrange(10, 30)}.01.2026",
            "dates, each of which is a category: 'data.dates={odd: %d.%m.%Y}'",
            {"dates": {"odd": "%d.%m.%Y"}},
        ),
        (lambda i, r: "same", "has one value only: 'data.ignore=[odd]'", {"ignore": ["odd"]}),
        (lambda i, r: "", "has one value only: 'data.ignore=[odd]'", {"ignore": ["odd"]}),
        (lambda i, r: f"id-{r.random()}", "nearly every value is another", {"ignore": ["odd"]}),
        (lambda i, r: i, "counts the rows, as a saved index", {"ignore": ["odd"]}),
        (lambda i, r: ["no", "yes"][i % 2], "tells y: each of its values", {"ignore": ["odd"]}),
        (lambda i, r: i % 2, "tells y: each of its values", {"ignore": ["odd"]}),
        (
            lambda i, r: r.choice(["red", "red ", "blue"]),
            "'red' and 'red ' are two words: data.words=trimmed",
            {"words": "trimmed"},
        ),
        (
            lambda i, r: r.choice(["red", "Red", "blue"]),
            "'Red' and 'red' are two words: data.words=folded",
            {"words": "folded"},
        ),
        (
            lambda i, r: "1e308" if i == 4 else r.random(),
            "1e+308 in row 5 is too large",
            {"na_values": ["1e308"]},
        ),
    ],
)
def test_what_is_odd_is_told_with_the_setting_that_settles_it(
    cell: Callable[[int, random.Random], object],
    line: str,
    settled: dict[str, Any],
    tmp_path: Path,
) -> None:
    path = table(tmp_path, odd=cell)
    (told,) = said(path)
    assert told.startswith("odd: ")
    assert line in told
    assert said(path, **settled) == []


def test_rows_of_two_parts_are_told_and_a_rare_class_is(tmp_path: Path) -> None:
    path = table(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, *lines[1:20]]))
    (told,) = said(path)
    assert (
        "rows for validation and test are in the training part: data.drop_duplicates=true" in told
    )
    assert said(path, drop_duplicates=True) == []
    rare = table(
        tmp_path, y=lambda i, r: "c" if i % 30 == 0 else "ab"[i % 2], z=lambda i, r: 0 or r.random()
    )
    rare.write_text(
        rare.read_text() + rare.read_text().partition("\n")[2].replace("c", "a") + '0.5,"c",0.25\n'
    )
    assert any("few of the 121 rows are of class c (3)" in told for told in said(rare))


def test_many_columns_of_one_kind_are_one_line(tmp_path: Path) -> None:
    path = table(tmp_path, **{f"c{i}": (lambda i, r: "same") for i in range(20)})
    (told,) = said(path)
    assert told.startswith("c0, c1, c2, c3, c4 and 15 more: has one value only: ")


def test_a_run_says_it_once_and_its_trials_never(
    tmp_path: Path, compose_run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path, odd=lambda i, r: "same")
    config = compose_run("data=table", f"data.path='{path}'", "data.target=y")
    check(config)
    assert capsys.readouterr().err.count("warning: odd: has one value only") == 1
    check(config, {"data.drop_last": [True, False], "data.target": ["y"]})
    assert capsys.readouterr().err.count("warning: odd: has one value only") == 1
