"""The report's page in a real browser: no request, no console error, every section filled and usable."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caviar
from caviar.reports.data import OneRun
from caviar.reports.html import in_script, write_report
from caviar.runs.edits import Edit, write_edits
from tests.made_up import make_run, make_sweep
from tests.reports.browser import DEADLINE, SECTIONS, Opened

NASTY = "<script>alert(1)</script> \"quoted\" 'single' 中文 </script><b>bold</b> {{plotly}}"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def value(params: dict[str, Any]) -> float:
        return 0.9 - 0.05 * (math.log10(params["optimizer.lr"]) + 2.5) ** 2

    states = {3: "FAIL", 4: "PRUNED", 5: "RUNNING"}
    folder = tmp_path_factory.mktemp("sweeps")
    return make_sweep(folder / "made", value, 24, states=states, epochs=5)


def test_a_figure_is_drawn_once_it_is_scrolled_to(opened: Opened) -> None:
    assert opened.page.locator("#timeline svg.main-svg").count() == 0
    opened.page.locator("#timeline").scroll_into_view_if_needed()
    opened.page.wait_for_selector("#timeline svg.main-svg", timeout=DEADLINE)


def test_no_button_of_a_figure_leads_out_of_the_page(opened: Opened) -> None:
    opened.draw_all()
    titles = opened.page.locator(".modebar-btn").evaluate_all("n => n.map((b) => b.dataset.title)")
    offered = {
        "Download plot as a PNG",
        "Download plot as a png",
        "Zoom",
        "Pan",
        "Zoom in",
        "Zoom out",
    }
    assert titles
    assert set(titles) <= {*offered, "Reset axes", "Reset"}
    assert opened.page.locator(".modebar a[href]").count() == 0


def test_a_reverse_log_axis_has_the_true_values_as_ticks(opened: Opened) -> None:
    opened.draw_all()
    plot = opened.page.locator("[aria-label='slice of optimizer.momentum']")
    assert {"0.9", "0.97", "0.99"} <= set(plot.locator(".xtick").all_text_contents())


def test_no_value_just_below_one_is_shown_as_one(opened: Opened) -> None:
    shown = opened.page.evaluate("[0.99997, 0.9814126, 0.9990004, 0.5, -0.99997, 1].map(short)")
    assert shown == ["0.99997", "0.9814", "0.999", "0.5", "-0.99997", "1"]


def test_a_failed_trial_is_a_red_cross_on_each_slice(opened: Opened) -> None:
    for plot in opened.page.locator("#slices .plot").all():
        opened.page.evaluate("drawAll()")
        failed = plot.evaluate("node => node.data.find((trace) => trace.name === 'failed')")
        assert failed["marker"]["symbol"] == "x"
        assert failed["customdata"] == [3]


def test_the_table_sorts_both_ways_and_blanks_last(opened: Opened) -> None:
    head = opened.page.locator("#trials th", has_text="val/acc")
    for way in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == way
        texts = opened.column(3)
        values = [float(text) for text in texts if text]
        assert values == sorted(values, reverse=way == "descending")
        assert texts[-2:] == ["", ""]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("state == 'FAIL'", lambda t: t["state"] == "FAIL"),
        ("lr<1e-2", lambda t: t["optimizer.lr"] < 1e-2),
        ("relu complete", lambda t: t["model.activation"] == "relu" and t["state"] == "COMPLETE"),
        ("nothing-like-it", lambda t: False),
    ],
)
def test_the_search_finds_words_and_compares(
    opened: Opened, sweep: Path, text: str, wanted: Any
) -> None:
    opened.page.fill("#search", text)
    table = caviar.load(sweep).trials
    assert {int(n) for n in opened.column(1)} == {n for n, row in table.iterrows() if wanted(row)}


def test_a_trial_opens_by_keyboard_with_its_details_and_closes_with_escape(opened: Opened) -> None:
    button = opened.page.get_by_role("button", name="open trial 3", exact=True)
    button.focus()
    opened.page.keyboard.press("Enter")
    shown = opened.page.inner_text("#trial")
    assert "Traceback (most recent call last)" in shown
    assert "python -m project.train optimizer.lr=" in shown
    assert "max_epochs: 5" in shown
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("#trial").is_visible()
    opened.page.get_by_role("button", name="open trial 1", exact=True).click()
    assert "best.ckpt" in opened.page.inner_text("#trial")


def test_a_phone_needs_no_sideways_scrolling(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 380, "height": 800})
    opened.page.evaluate("fill()")
    opened.ready()
    opened.draw_all()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 380


def test_a_trial_that_was_stopped_is_not_shown_as_failed(browser: Any, tmp_path: Path) -> None:
    states = {2: "FAIL", 3: "FAIL"}
    folder = make_sweep(tmp_path / "s", n_trials=12, states=states, settings={"n_trials": 11})
    path = folder / "trials/0003/result.json"
    killed = {"error": "Interrupted: the sweep's process was killed"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **killed}))
    write_report([caviar.load(folder)], folder / "report.html")
    opened = Opened(browser, folder / "report.html")
    opened.draw_all()
    facts = opened.page.locator("#facts .facts div").all_inner_texts()
    assert {"10\ncomplete", "1\nfailed", "1\nstopped"} <= set(facts)
    assert "11 of 11 trials" in opened.page.inner_text("#facts")
    assert opened.page.locator("#failures summary").count() == 1
    failed = "node => node.data.find((trace) => trace.name === 'failed').customdata"
    assert opened.page.locator("#history .plot").evaluate(failed) == [2]
    opened.close()


def test_what_a_run_says_is_shown_as_text(browser: Any, tmp_path: Path) -> None:
    space = {"x": "choice('<b>fat</b>', '中文')", "lr": "tag(log, interval(1e-4, 1))"}
    folder = make_sweep(
        tmp_path / "made", lambda p: p["lr"], 12, space=space, metric="<img src=x onerror=alert(1)>"
    )
    for number in range(3):
        path = folder / "trials" / f"{number:04}" / "result.json"
        held = json.loads(path.read_text())
        held |= {"state": "FAIL", "value": None, "error": NASTY}
        path.write_text(json.dumps(held))
        path.with_name("log.txt").write_text(NASTY)
        path.with_name("config.yaml").write_text(
            NASTY + "\n\udcff".encode("utf-8", "replace").decode()
        )
    write_report([caviar.load(folder)], tmp_path / "report.html")
    opened = Opened(browser, tmp_path / "report.html")
    opened.draw_all()
    assert NASTY in opened.page.inner_text("#failures")
    opened.page.get_by_role("button", name="open trial 1", exact=True).click()
    assert opened.page.inner_text("#trial").count(NASTY) == 3
    ticks = opened.page.locator("[aria-label='slice of x'] .xtick").all_text_contents()
    assert ticks == ["<b>fat</b>", "中文"]
    assert opened.page.locator("main img, main b:has-text('fat'), #trial b").count() == 0
    opened.close()


def test_a_run_with_edits_is_never_shown_as_if_its_config_alone_had_made_it(
    browser: Any, tmp_path: Path
) -> None:
    folder = make_sweep(tmp_path / "made", n_trials=12, epochs=5)
    halved = {"optimizer.lr": {"old": 0.1, "new": 0.05}}
    dropped = {"model.dropout": {"old": 0, "new": 0.9}}
    edits = [
        Edit(1, "set", "ada@here", "2026-01-02", 2, 0, 20, halved),
        Edit(2, "set", "ada@here", "2026-01-02", 3, 0, 30, dropped),
        Edit(3, "rollback", "ada@here", "2026-01-02", 4, 0, 40, to=2),
    ]
    run = folder / "trials" / "0006"
    write_edits(run, edits)
    write_report([caviar.load(folder)], tmp_path / "report.html")
    opened = Opened(browser, tmp_path / "report.html")
    opened.draw_all()
    marks = opened.page.locator("#curves .plot").evaluate(
        "n => n.data.filter((t) => t.name === 'edits').map((t) => [t.customdata, t.x, t.text])"
    )
    # What was rolled back did not lead to where the run is.
    assert marks == [[[6], [2], [edits[0].in_words().replace(">", "&gt;")]]]
    held = "n => n.data[0].customdata.map((number, i) => [number, n.data[0].text[i]])"
    hovers = dict(opened.page.locator("#history .plot").evaluate(held))
    assert [n for n, text in hovers.items() if "edited while it trained" in text] == [6]
    assert opened.page.locator("#trials th", has_text="edits").count() == 1
    opened.page.fill("#search", "edits>=1")
    assert opened.column(1) == ["6"]
    opened.page.locator("#trials tbody td").nth(1).click()
    assert "edited while it trained: 1" in opened.page.inner_text("#pinned")
    opened.page.get_by_role("button", name="Details").click()
    shown = opened.page.inner_text("#trial")
    assert "its config alone does not give it\n" + edits[0].in_words() in shown
    assert "model.dropout 0 -> 0.9" not in shown
    assert f"caviar replay {run}" in shown
    assert "python -m project.train" not in shown
    opened.close()


def test_a_single_run_shows_its_curves_and_nothing_that_takes_many_trials(
    browser: Any, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "cub", config={"direction": "maximize"})
    write_report([OneRun(folder)], tmp_path / "report.html")
    opened = Opened(browser, tmp_path / "report.html")
    opened.draw_all()
    shown = opened.page.locator("nav a:visible").all_inner_texts()
    assert shown == ["In short", "Run", "Learning curves", "Predictions", "Trials", "Failures"]
    assert opened.page.locator("#curves svg.main-svg").count()
    assert opened.page.locator("#verdicts, #parallel").first.is_hidden()
    opened.close()


STRANGE: dict[str, dict[str, Any]] = {
    "empty": {"n_trials": 0},
    "one trial": {"n_trials": 1},
    "all failed": {"states": dict.fromkeys(range(8), "FAIL")},
    "nan": {"value": lambda p: math.nan},
    "infinity": {"value": lambda p: math.inf if p["optimizer.lr"] > 1e-2 else 0.5},
    "two objectives": {"value": lambda p: [0.1, 0.2], "direction": ["minimize", "maximize"]},
    "no space": {"space": {}},
    "all equal": {"value": lambda p: 0.5, "n_trials": 12},
}


@pytest.fixture(scope="module")
def strange(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """All strange sweeps in one page: each can be picked."""
    folder = tmp_path_factory.mktemp("strange")
    for name, more in STRANGE.items():
        more = {"value": lambda p: p.get("optimizer.lr", 0.5), **more}
        make_sweep(folder / name, **more)
    sweeps = [caviar.load(folder / name) for name in STRANGE]
    write_report(sweeps, folder / "report.html")
    opened = Opened(browser, folder / "report.html")
    yield opened
    opened.close()


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_sweep_has_every_section_too(strange: Opened, name: str) -> None:
    strange.page.select_option("#sweep", label=name)
    strange.ready()
    strange.draw_all()
    for section in SECTIONS:
        text = strange.page.inner_text(f"#{section} .body").strip()
        assert text, section
        assert "not drawn" not in text
    assert not strange.errors


def test_no_text_ends_the_script_element_it_stands_in() -> None:
    text = in_script({"a": "</script><!--\u2028", "b": math.nan})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--\u2028", "b": "nan"}


def test_what_strict_json_does_not_know_stands_as_its_text() -> None:
    day = datetime.date(2026, 1, 2)
    odd = {
        "a": [1, {"b": (math.inf, -0.0)}, np.float32("nan")],
        day: np.int64(3),
        "when": day,
        1: {},
    }
    wanted = {"a": [1, {"b": ["inf", -0.0]}, "nan"], "2026-01-02": 3, "when": "2026-01-02", "1": {}}
    assert json.loads(in_script(odd)) == wanted
    del odd[day], wanted["2026-01-02"]
    odd["a"], wanted["a"] = [], []
    assert json.loads(in_script(odd)) == wanted
