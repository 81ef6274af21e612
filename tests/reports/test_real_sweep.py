"""The report on a sweep that really trained, in a browser: as a person reads and uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import caviar
from caviar.reports.html import write_report
from tests.reports.browser import DEADLINE, FIGURES, SECTIONS, Opened
from tests.reports.real import really_trained
from tests.waiting import until


@pytest.fixture(scope="module")
def sweep(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return caviar.load(really_trained(tmp_path_factory.mktemp("app")))


def numbers(sweep: Any, state: str) -> list[int]:
    return list(sweep.trials.index[sweep.trials["state"] == state])


def best(sweep: Any) -> int:
    table = sweep.trials[sweep.trials["state"] == "COMPLETE"]
    return int(table["value"].sort_values(ascending=False, kind="stable").index[0])


def test_every_section_is_filled_from_trials_of_every_state(opened: Opened, sweep: Any) -> None:
    opened.draw_all()
    for section in SECTIONS:
        text = opened.page.inner_text(f"#{section} .body").strip()
        assert text, section
        assert "not drawn" not in text
    for section in FIGURES:
        assert opened.page.locator(f"#{section} svg.main-svg").count(), section
    assert opened.page.locator("#slices .plot svg.main-svg").count() >= 4
    assert set(opened.column(2)) == {"COMPLETE", "FAIL", "PRUNED", "RUNNING"}
    assert len(opened.column(1)) == len(sweep.trials)
    assert "FloatingPointError" in opened.page.inner_text("#failures")
    assert "of 1000 trials" in opened.page.inner_text("#facts")
    complete, pruned = (len(numbers(sweep, state)) for state in ("COMPLETE", "PRUNED"))
    told = f"{complete} complete and {pruned} pruned trials"
    assert told in opened.page.inner_text("#verdicts")


def test_every_trial_that_logged_the_score_has_a_curve_the_running_one_too(
    opened: Opened, sweep: Any
) -> None:
    opened.draw_all()
    traces = opened.page.locator("#curves .plot").evaluate(
        "n => n.data.map((t) => [t.name, t.mode, t.customdata])"
    )
    lines = [(name, set(held) - {None}) for name, mode, held in traces if "lines" in mode]
    logged = sweep.metrics.dropna(subset="val/acc")["trial"]
    assert set().union(*(held for _, held in lines)) == set(logged)
    assert dict(lines)["running"] == set(numbers(sweep, "RUNNING"))


def test_the_best_epoch_of_each_complete_trial_is_marked_on_its_curve(
    opened: Opened, sweep: Any
) -> None:
    opened.draw_all()
    marked = opened.page.locator("#curves .plot").evaluate(
        "n => n.data.filter((t) => t.name.startsWith('best epoch'))"
        ".flatMap((t) => t.customdata.map((number, i) => [number, t.x[i], t.y[i]]))"
    )
    complete = sweep.trials[sweep.trials["state"] == "COMPLETE"]
    assert {n: epoch for n, epoch, _ in marked} == complete["best_epoch"].to_dict()
    for number, _, score in marked:
        assert score == pytest.approx(complete["value"][number], rel=1e-4)


def test_a_curve_under_the_pointer_says_which_trial_it_is_and_stands_out(
    opened: Opened, sweep: Any
) -> None:
    number = best(sweep)
    opened.page.select_option("#metric", label="train/loss")  # no two trials have the same
    opened.draw_all()
    x, y = opened.point("curves", number, 3)
    opened.page.mouse.move(x, y)
    opened.page.wait_for_selector("#curves .hovertext", timeout=DEADLINE)
    assert f"trial {number}" in opened.page.locator("#curves .hovertext").text_content()
    assert opened.outlined("curves") == {f"trial {number}"}
    opened.page.mouse.move(5, 5)
    opened.page.wait_for_selector("#curves .hovertext", state="detached", timeout=DEADLINE)
    assert not opened.outlined("curves")


def test_a_click_pins_a_trial_everywhere_until_escape_or_a_second_click(
    opened: Opened, sweep: Any
) -> None:
    number = best(sweep)
    opened.page.select_option("#metric", label="train/loss")
    opened.draw_all()
    name = f"trial {number}"
    bar, row = opened.page.locator("#pinned"), opened.page.locator("#trials tr[aria-current]")
    plot = "document.querySelector('#curves .plot')"
    # Two clicks that follow at once are a double click, which shows all of the axes.
    apart = f"!({plot}._mouseDownTime > Date.now() - 2 * {plot}._context.doubleClickDelay)"

    def click(x: float, y: float) -> None:
        until(lambda: opened.page.evaluate(apart), "it is no double click")
        opened.page.mouse.click(x, y)

    for unpin in (lambda x, y: opened.page.keyboard.press("Escape"), click):
        x, y = opened.point("curves", number, 3)
        opened.page.mouse.move(x, y)
        opened.page.wait_for_selector("#curves .hovertext", timeout=DEADLINE)
        click(x, y)
        bar.wait_for(timeout=DEADLINE)
        assert bar.inner_text().startswith(f"Trial {number}")
        for section in ("curves", "parallel", "history", "slices", "contour", "timeline"):
            assert name in opened.outlined(section), section
        assert row.get_attribute("data-trial") == str(number)
        unpin(x, y)
        bar.wait_for(state="hidden", timeout=DEADLINE)
        opened.page.mouse.move(5, 5)
        assert not opened.outlined("parallel")
        assert row.count() == 0


def test_a_row_pins_its_trial_and_the_theme_and_another_metric_keep_it(
    opened: Opened, sweep: Any
) -> None:
    opened.draw_all()
    number = numbers(sweep, "RUNNING")[0]
    opened.page.locator(f"#trials tr[data-trial='{number}'] td").nth(1).click()
    assert opened.outlined("curves") == {f"trial {number}"}
    opened.page.click("#theme")
    opened.page.select_option("#metric", label="train/loss")
    opened.draw_all()
    assert opened.outlined("curves") == {f"trial {number}"}
    opened.page.get_by_role("button", name="Details").click()
    assert "RUNNING" in opened.page.inner_text("#trial")
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("#trial").is_visible()
    assert opened.page.locator("#pinned").is_visible()  # Escape closed the details alone
    opened.page.get_by_role("button", name="Unpin").click()
    assert not opened.page.locator("#pinned").is_visible()


def test_a_trial_can_be_pinned_by_keyboard_alone(opened: Opened, sweep: Any) -> None:
    number = best(sweep)
    opened.page.get_by_role("button", name=f"open trial {number}", exact=True).focus()
    opened.page.keyboard.press("Enter")
    opened.page.get_by_role("button", name="Pin", exact=True).focus()
    opened.page.keyboard.press("Enter")
    assert not opened.page.locator("#trial").is_visible()
    assert opened.page.inner_text("#pinned").startswith(f"Trial {number}")
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("#pinned").is_visible()


def test_the_log_axis_shows_the_same_trials(opened: Opened) -> None:
    opened.draw_all()
    count = opened.page.locator("#curves .plot").evaluate("n => n.data.length")
    opened.page.get_by_role("button", name="Log axis").click()
    opened.draw_all()
    plot = opened.page.locator("#curves .plot")
    assert plot.evaluate("n => [n.layout.yaxis.type, n.data.length]") == ["log", count]


def test_sorting_and_searching_real_trials(opened: Opened, sweep: Any) -> None:
    opened.page.fill("#search", "state == 'COMPLETE' and lr < 1")
    table = sweep.trials
    wanted = table[(table["state"] == "COMPLETE") & (table["optimizer.lr"] < 1)]
    opened.page.locator("#trials th", has_text="val/acc").locator("button").click()
    shown = [int(n) for n in opened.column(1)]
    assert set(shown) == set(wanted.index)
    assert list(wanted["value"][shown]) == sorted(wanted["value"])


def test_a_failed_trial_opens_with_its_traceback_and_the_command_that_runs_it_again(
    opened: Opened, sweep: Any
) -> None:
    number = numbers(sweep, "FAIL")[0]
    opened.page.get_by_role("button", name=f"open trial {number}", exact=True).click()
    shown = opened.page.inner_text("#trial")
    assert "Traceback (most recent call last)" in shown
    assert "python -m project.train" in shown
    assert f"optimizer.lr={sweep.trials['optimizer.lr'][number]}" in shown


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened: Opened, sweep: Any, theme: str) -> None:
    if theme == "dark":
        opened.page.click("#theme")
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    opened.page.evaluate(f"pin({best(sweep)})")
    opened.draw_all()
    assert not opened.serious()
    opened.page.evaluate(f"openTrial({numbers(sweep, 'FAIL')[0]})")
    assert not opened.serious()


def test_the_theme_switches_and_the_figures_with_it(opened: Opened) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('#history .plot').layout.font.color"
    opened.draw_all()
    opened.page.fill("#search", "relu")
    before = opened.page.evaluate(background), opened.page.evaluate(ink)
    opened.page.get_by_role("button", name="Dark theme").click()
    opened.draw_all()
    after = opened.page.evaluate(background), opened.page.evaluate(ink)
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert opened.page.input_value("#search") == "relu"
    assert opened.page.locator("#theme").get_attribute("aria-pressed") == "true"


def test_paper_is_light_and_has_every_figure_and_every_row(opened: Opened, sweep: Any) -> None:
    opened.page.click("#theme")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.page.emulate_media(media="print")
    try:
        assert opened.page.evaluate("document.documentElement.dataset.theme") == "light"
        for section in FIGURES:
            assert opened.page.locator(f"#{section} svg.main-svg").count(), section
        assert not opened.page.locator("nav").is_visible()
        inner = "n => [n.clientHeight, n.scrollHeight]"
        shown, whole = opened.page.locator("#trials .scroll").evaluate(inner)
        assert shown >= whole - 1
    finally:
        opened.page.emulate_media(media="screen")
        opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_sweeps_are_compared_on_the_same_axes_by_trials_and_by_seconds(
    browser: Any, sweep: Any, tmp_path: Path
) -> None:
    from tests.made_up import make_sweep

    other = caviar.load(make_sweep(tmp_path / "other", n_trials=6))
    apart = caviar.load(make_sweep(tmp_path / "apart", metric="val/loss", direction="minimize"))
    write_report([sweep, other, apart], tmp_path / "report.html")
    opened = Opened(browser, tmp_path / "report.html")
    opened.draw_all()
    plots = opened.page.locator("#compare .plot")
    assert plots.count() == 2
    for index, spent in enumerate(("trials", "seconds")):
        found = plots.nth(index).evaluate("n => n.data.map((t) => [t.name, t.x, t.y, t.xaxis])")
        assert [name for name, *_ in found] == ["real", "other"]
        assert len({axis for *_, axis in found}) == 1
        for (_, x, y, _), held in zip(found, (sweep, other), strict=True):
            table = held.trials
            done = table[table["state"] == "COMPLETE"]
            assert y == sorted(y)
            assert y[-1] == done["value"].max()
            total = len(table) if spent == "trials" else table["worker_seconds"].fillna(0).sum()
            assert x[-1] == pytest.approx(total)
    assert "apart is not compared" in opened.page.inner_text("#compare")
    rows = opened.page.locator("#compare tbody td:first-child").all_inner_texts()
    assert rows == ["real", "other"]
    opened.page.select_option("#sweep", label="other")
    opened.ready()
    assert len(opened.column(1)) == 6
    assert opened.page.locator("#verdicts .of:visible").count() == 1
    opened.close()
