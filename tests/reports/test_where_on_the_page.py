"""The page's search is the terminal's ``--where``: it finds the same trials, and refuses the same texts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caviar
from caviar.base.errors import UsageError
from caviar.reading.index import runs_of
from caviar.reading.select import matching
from caviar.reports.html import write_report
from tests.made_up import make_sweep
from tests.reports.browser import Opened

SPACE = {
    "optimizer.lr": "tag(log, interval(1e-4, 1e-1))",
    "model.width": "int(tag(log, interval(16, 128)))",
    "model.activation": "choice(relu, gelu)",
    "model.norm": "choice(1, 2, true, batch)",
}
UNDERSTOOD = [
    "lr < 1e-2",
    "1e-3 < optimizer.lr <= 1e-2",
    "not activation == 'relu' and width > 40",
    "state in ['FAIL', 'PRUNED'] or state in ('RUNNING',)",
    "value == None",
    "error is not None",
    "'nan' in error",
    "col('optimizer.lr') > 0.01 or number == 3",
    "(lr > 1e-2 or lr < 1e-3) and not (width > 64)",
    "lr",
    "lr > -1 and lr < +1",
    'state not in ["FAIL"]',
    "norm == 2",
    "norm == True",
    "norm == 'batch'",
    "norm == None",
    "norm > 1",
    "best_epoch >= 2",
    "width == 1_6",
]
REFUSED = [
    "lr = 1",
    "lrr < 1",
    "lr < 1 AND width > 2",
    "lr <",
    "lr + 1 < 2",
    "print(1)",
    "state == FAIL",
    "lr < 'a'",
    "activation < 3",
    "(lr < 1",
    "lr ==== 1",
    "lr; 1",
    "lr.x > 1",
    "'relu'",
    "model.0.width > 3",
    "lr < 1 or",
    "or lr < 1",
    "__import__('os').system('true')",
    "lr < 1e-2 <script>",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = {3: "FAIL", 4: "PRUNED", 5: "RUNNING"}
    place = tmp_path_factory.mktemp("sweeps") / "made"
    return make_sweep(place, n_trials=24, space=SPACE, states=states)


@pytest.fixture(scope="module")
def opened(browser: Any, folder: Path) -> Iterator[Opened]:
    write_report([caviar.load(folder)], folder / "report.html")
    found = Opened(browser, folder / "report.html")
    yield found
    found.close()


def by_the_page(opened: Opened, texts: list[str]) -> list[Any]:
    """The trials that the page finds by each text, or None where it says that it does not understand."""
    return opened.page.evaluate(
        """(texts) => texts.map((text) => {
          try {
            const { keeps, told } = matcher(text, columnsOf(current), current);
            const found = current.trials.filter(keeps).map((t) => t.number);
            return told() ? null : found;
          } catch (error) {
            if (error instanceof NotUnderstood) return null;
            throw error;
          }
        })""",
        texts,
    )


def in_the_terminal(folder: Path, text: str) -> list[int] | None:
    try:
        return sorted(row.facts["number"] for row in matching(runs_of([folder]), text))
    except UsageError:
        return None


def test_what_the_terminal_understands_finds_the_same_trials(opened: Opened, folder: Path) -> None:
    wanted = [in_the_terminal(folder, text) for text in UNDERSTOOD]
    assert None not in wanted
    assert dict(zip(UNDERSTOOD, by_the_page(opened, UNDERSTOOD), strict=True)) == dict(
        zip(UNDERSTOOD, wanted, strict=True)
    )


def test_what_the_terminal_refuses_is_not_understood(opened: Opened, folder: Path) -> None:
    assert {in_the_terminal(folder, text) is None for text in REFUSED} == {True}
    found = dict(zip(REFUSED, by_the_page(opened, REFUSED), strict=True))
    assert {text for text, trials in found.items() if trials is not None} == set()


def test_any_condition_means_the_same_in_both(opened: Opened, folder: Path) -> None:
    numbers = random.Random(0)

    def term() -> str:
        names = ["lr", "optimizer.lr", "width", "activation", "norm", "state", "value", "error"]
        values = ["1e-2", "30", "-1", ".5", "'relu'", '"FAIL"', "None", "True", "[1, 'relu']", "()"]
        return numbers.choice(names if numbers.random() < 0.6 else values)

    def text(depth: int) -> str:
        kind = numbers.random()
        if depth and kind < 0.35:
            return f"{text(depth - 1)} {numbers.choice(['and', 'or'])} {text(depth - 1)}"
        if depth and kind < 0.5:
            return f"not {text(depth - 1)}"
        if depth and kind < 0.65:
            return f"({text(depth - 1)})"
        tests = ["<", "<=", ">", ">=", "==", "!=", "in", "not in", "is", "is not", "="]
        chain = [term()]
        for _ in range(numbers.choice([1, 1, 1, 2])):
            chain += [numbers.choice(tests), term()]
        return " ".join(chain)

    texts = [text(3) for _ in range(300)]
    wanted = [in_the_terminal(folder, one) for one in texts]
    found = by_the_page(opened, texts)
    assert [t for t, a, b in zip(texts, found, wanted, strict=True) if a != b] == []
    assert sum(one is not None for one in wanted) > 50


def test_what_was_not_understood_is_said_beside_the_search(opened: Opened) -> None:
    for text, told in {
        "lr = 1": "not understood: not readable at = 1; equality is written ==",
        "lrx < 1": "not understood: lrx: no such column; did you mean lr?",
        "state == FAIL": "a word stands in quotes: 'FAIL'",
        "activation < 3": "activation < 3 compares",
    }.items():
        opened.page.fill("#search", text)
        assert told in opened.page.inner_text("#searched")
    opened.page.fill("#search", "lr = 1")
    assert opened.page.get_attribute("#search", "aria-invalid") == "true"
    assert len(opened.column(1)) == 24
    opened.page.fill("#search", "lr < 1")
    assert opened.page.get_attribute("#search", "aria-invalid") is None
