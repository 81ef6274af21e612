"""What the page tells first, and what can be done with its table, its trials and its curves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import caviar
from caviar.reports.html import write_report
from tests.made_up import make_run, make_sweep
from tests.reports.browser import Opened

SPACE = {"optimizer.lr": "choice(1e-4, 1e-3, 1e-2, 1e-1)", "note": "choice('=1+1', plain)"}
FOLDED = 11


def change(run: Path, **fields: Any) -> dict[str, Any]:
    """Change fields of a run's ``result.json``."""
    path = run / "result.json"
    held = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps(held))
    return held


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four learning rates by three seeds, losses over five decades, the default first, one of folds."""
    folder = make_sweep(
        tmp_path_factory.mktemp("sweeps") / "2026-01-02_03-04-05",
        lambda p: 10 * (p["optimizer.lr"] / 1e-4) ** -2,
        n_trials=12,
        space=SPACE,
        metric="val/loss",
        direction="minimize",
        epochs=9,
        states={10: "FAIL"},
    )
    for number in range(12):
        run = folder / "trials" / f"{number:04}"
        lr = [1e-4, 1e-3, 1e-2, 1e-1][number // 3]
        value = 10 * (lr / 1e-4) ** -2 * (1 + number / 100)
        held = json.loads((run / "result.json").read_text())
        facts = {"metrics": {"val/loss": value, "val/acc": 1 - value / 20}}
        change(
            run,
            seed=number % 3,
            params={"optimizer.lr": lr, "note": "=1+1"},
            value=None if held["state"] == "FAIL" else value,
            facts=facts | ({"baseline": True} if number == 0 else {}),
        )
        config = {"model": {"_target_": "project.models.MLP"}, "data": {"path": "in/churn.csv"}}
        (run / "config.yaml").write_text(json.dumps(config))
    run = folder / "trials" / f"{FOLDED:04}"
    (run / "metrics.csv").unlink()
    for fold, factor in enumerate((1, 2, 6)):
        make_run(run / f"fold-{fold}", value=factor * 1e-3, metric="val/loss", epochs=4)
    return folder


def traces(opened: Opened) -> dict[str, Any]:
    opened.draw_all()
    held = opened.page.locator("#curves .plot").evaluate(
        "n => n.data.map((t) => [t.name, t.x, t.y])"
    )
    return {name: (x, y) for name, x, y in held}


def test_the_first_sentence_says_what_was_trained_and_what_came_of_it(opened: Opened) -> None:
    assert opened.page.inner_text("h1") == "MLP on churn.csv"
    told = opened.page.inner_text("#summary .story")
    assert told.startswith(
        "12 trials of MLP on churn.csv by random search, over lr and note (11 complete, 1 failed). "
        "The best val/loss is 1.09e-05 (trial 9)"
    )
    assert told.endswith("; the default has 10.")
    assert opened.page.locator("#summary code.next").inner_text()
    assert opened.page.locator("#summary tbody tr").first.inner_text().split("\t") == [
        "optimizer.lr",
        "0.1",
        "0.0001",
    ]


def test_a_command_is_copied_by_its_button(browser: Any, opened: Opened) -> None:
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    for button in (
        opened.page.locator("#summary .copy"),
        opened.page.locator("#trial .copy").first,
    ):
        if "trial" in str(button):
            opened.page.evaluate("openTrial(3)")
        command = button.evaluate("b => b.previousElementSibling.textContent")
        button.click()
        opened.page.wait_for_function(
            "(b) => b.textContent === 'Copied'", arg=button.element_handle()
        )
        assert opened.page.evaluate("navigator.clipboard.readText()") == command


def test_a_command_is_copied_where_a_browser_gives_a_file_no_clipboard(opened: Opened) -> None:
    opened.page.evaluate(
        "window.asked = []; document.execCommand = (c) => { if (c) asked.push(c); return true; }"
    )
    opened.page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })"
    )
    assert opened.page.evaluate("copied('caviar report')")
    assert opened.page.evaluate("asked") == ["copy"]
    opened.page.evaluate("delete navigator.clipboard; delete document.execCommand")


def test_the_table_has_the_best_first_and_columns_can_be_chosen(opened: Opened) -> None:
    assert opened.column(1) == [*map(str, (9, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2, 10))]
    heads = opened.page.locator("#trials thead th")
    assert "val/acc" not in heads.all_inner_texts()
    opened.page.locator("#trials summary").click()
    opened.page.get_by_role("checkbox", name="val/acc").check()
    opened.page.get_by_role("checkbox", name="note").uncheck()
    shown = heads.all_inner_texts()
    assert "val/acc" in shown
    assert "note" not in shown


def test_the_rows_and_columns_that_are_shown_are_downloaded_as_csv(opened: Opened) -> None:
    opened.page.fill("#search", "lr >= 1e-2 and state == 'COMPLETE'")
    with opened.page.expect_download() as waiting:
        opened.page.get_by_role("button", name="CSV").click()
    assert waiting.value.suggested_filename == "2026-01-02_03-04-05.csv"
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text().splitlines()))
    assert [row["trial"] for row in rows] == ["9", "11", "6", "7", "8"]
    assert {row["note"] for row in rows} == {"'=1+1"}  # no formula for a spreadsheet
    assert float(rows[0]["val/loss"]) == pytest.approx(1.09e-05, rel=1e-12)


def test_a_trial_opens_with_its_metrics_and_its_curve(opened: Opened) -> None:
    opened.page.get_by_role("button", name="open trial 9", exact=True).click()
    facts = opened.page.locator("#trial .facts div").all_inner_texts()
    assert "1.09e-5\nval/loss" in facts
    plot = opened.page.locator("#trial .plot")
    assert plot.locator("svg.main-svg").count()
    first = plot.evaluate("n => n.data[0].y")
    opened.page.locator("#trial select").select_option("train/loss")
    assert plot.evaluate("n => n.data[0].y") != first
    opened.page.keyboard.press("Escape")


def test_smoothing_keeps_the_first_value_and_takes_the_jitter(opened: Opened) -> None:
    assert opened.page.evaluate("smoothed([3, 3, 3], 0.9)") == pytest.approx([3, 3, 3])
    smooth = opened.page.evaluate("smoothed([1, 0, 1, 0, 1, 0], 0.6)")
    assert max(smooth[2:]) - min(smooth[2:]) < 0.4
    opened.page.get_by_role("button", name="Mean over seeds").click()
    before = traces(opened)["trial 9"][1]
    opened.page.select_option("#smoothing", label="much")
    after = traces(opened)["trial 9"][1]
    assert after[0] == pytest.approx(before[0])
    assert after != before


def test_seeds_of_the_same_values_are_a_mean_and_a_band(opened: Opened) -> None:
    found = traces(opened)
    _x, y = found["trials 3, 4, 5"]
    alone = opened.page.evaluate("[3, 4, 5].map((n) => current.curves['val/loss'][n].y)")
    assert y == pytest.approx([sum(values) / 3 for values in zip(*alone, strict=True)])
    band = opened.page.evaluate("overSeeds(current, current.curves['val/loss'])[1]")
    assert band["low"] == [min(values) for values in zip(*alone, strict=True)]
    opened.page.get_by_role("button", name="Mean over seeds").click()
    assert "trials 3, 4, 5" not in traces(opened)


def test_folds_are_a_mean_and_a_band(opened: Opened) -> None:
    held = opened.page.evaluate(f"current.curves['val/loss'][{FOLDED}]")
    assert held["y"] == pytest.approx([0.00075, 0.0015, 0.00225, 0.003])
    assert held["low"] == pytest.approx([0.00025, 0.0005, 0.00075, 0.001])
    assert held["high"] == pytest.approx([0.0015, 0.003, 0.0045, 0.006])
    assert "band" in traces(opened)


def test_scores_over_many_decades_have_a_log_axis(opened: Opened) -> None:
    opened.draw_all()
    kinds = opened.page.locator("#history .plot, #slices .plot, #curves .plot").evaluate_all(
        "n => n.map((p) => [p.layout.yaxis.type, p.layout.yaxis.range])"
    )
    assert {kind for kind, _ in kinds} == {"log"}
    assert all(low < high < 3 for _, (low, high) in kinds)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_them(opened: Opened, theme: str) -> None:
    opened.page.evaluate(f"setTheme('{theme}')")
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    opened.page.fill("#search", "lr = 1")
    opened.draw_all()
    assert not opened.serious()
    opened.page.evaluate("openTrial(11)")
    assert not opened.serious()


CLASSES = {
    "number": 9,
    "samples": 20,
    "classes": ["<b>a</b>", "b"],
    "confusion": [[9, 1], [2, 8]],
    "reliability": [[0.55, 0.5, 4], [0.95, 0.9375, 16]],
}
NUMBERS = {"number": 9, "samples": 3, "residuals": [[1.0, 0.1], [2.0, -0.2], [3.0, 0.0]]}


@pytest.mark.parametrize(("held", "figures"), [(CLASSES, 2), (NUMBERS, 2), ({"why": "no <i>"}, 0)])
def test_predictions_of_the_best_trial_are_drawn_or_why_not_is_said(
    browser: Any, sweep: Path, tmp_path: Path, held: dict[str, Any], figures: int
) -> None:
    write_report([caviar.load(sweep)], tmp_path / "report.html", [held])
    found = Opened(browser, tmp_path / "report.html")
    found.draw_all()
    plots = found.page.locator("#judged .plot")
    assert plots.count() == figures
    text = found.page.inner_text("#judged")
    assert "not drawn" not in text
    if "why" in held:
        assert "no <i>" in text
    elif "classes" in held:
        texts = plots.first.evaluate("n => n.data[0].text")
        assert texts == held["confusion"]
        assert "<b>a</b>" in plots.first.locator(".ytick").all_text_contents()
        assert "0.02 apart" in plots.nth(1).inner_text()
        assert not found.serious()
    else:
        assert plots.first.evaluate("n => n.data[0].y") == [0.1, -0.2, 0.0]
    found.close()
