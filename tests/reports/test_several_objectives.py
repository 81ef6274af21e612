"""The report on a sweep of several objectives: its front, how that grew, and what matters to each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caviar
from caviar.base.objectives import front, signed
from caviar.reports.html import write_report
from tests.made_up import make_sweep
from tests.reports.browser import Opened

DIRECTIONS = ["maximize", "minimize"]


def off(params: dict[str, Any]) -> float:
    return math.log10(params["optimizer.lr"]) + 2.5


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first score is made by the learning rate, the second by the width, and a little by both."""
    return make_sweep(
        tmp_path_factory.mktemp("sweeps") / "two",
        lambda p: [-(off(p) ** 2), p["model.width"] + 40 * math.exp(-(off(p) ** 2))],
        n_trials=40,
        metric=["val/acc", "cost"],
        direction=DIRECTIONS,
        states={5: "FAIL"},
    )


@pytest.fixture(scope="module")
def opened(browser: Any, sweep: Path) -> Iterator[Opened]:
    write_report([caviar.load(sweep)], sweep / "report.html")
    found = Opened(browser, sweep / "report.html")
    yield found
    found.close()


def wanted(sweep: Path) -> set[int]:
    table = caviar.load(sweep).trials.query("state == 'COMPLETE'")
    losses = [signed(row, DIRECTIONS) for row in table[["value_0", "value_1"]].to_numpy().tolist()]
    return {int(table.index[place]) for place in front(losses)}


def test_the_front_is_drawn_told_and_stands_first_in_the_table(opened: Opened, sweep: Path) -> None:
    best = wanted(sweep)
    opened.draw_all()
    drawn = opened.page.locator("#pareto .plot").first.evaluate(
        "n => n.data.find((t) => t.name === 'on the front').customdata"
    )
    assert set(drawn) == best
    assert f"{len(best)} trials are on the Pareto front: val/acc from" in opened.page.inner_text(
        "#summary"
    )
    assert {int(number) for number in opened.column(1)[: len(best)]} == best
    assert f"{len(best)}\non the Pareto front" in opened.page.inner_text("#facts")


def test_the_hypervolume_grows_up_to_the_last_trial(opened: Opened) -> None:
    x, y = opened.page.locator("[aria-label='hypervolume by trial']").evaluate(
        "n => { drawAll(); return [n.data[0].x, n.data[0].y]; }"
    )
    assert x == [n for n in range(40) if n != 5]
    assert y == sorted(y)
    assert 0.5 < y[-1] <= 1


def test_each_objective_has_its_own_order_importance_and_axes(opened: Opened) -> None:
    most = {}
    for label in ("val/acc", "cost"):
        opened.page.select_option("#objective", label=label)
        opened.ready()
        opened.draw_all()
        bars = opened.page.locator("#importance .plot").evaluate("n => n.data[0]")
        most[label] = max(zip(bars["x"], bars["y"], strict=True))[1]
        title = opened.page.locator("#history .plot").evaluate("n => n.layout.yaxis.title.text")
        assert title == label
    assert most == {"val/acc": "optimizer.lr", "cost": "model.width"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened: Opened, theme: str) -> None:
    opened.page.evaluate(f"setTheme('{theme}')")
    opened.draw_all()
    assert not opened.serious()
