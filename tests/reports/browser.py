"""A report in a real browser, and what went wrong or out while it was open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60_000
"""Milliseconds."""

SECTIONS = ["facts", "history", "curves", "parallel", "slices", "importance", "contour", "trials"]
SECTIONS += ["failures", "timeline", "duplicates", "judged"]
FIGURES = ["history", "curves", "parallel", "slices", "importance", "contour", "timeline"]


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """The Chromium that is installed, without a window; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no chromium on this machine")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=executable,
            args=[*arguments, "--disable-background-networking"],
            viewport={"width": 1200, "height": 900},
        )
        yield context
        context.close()


class Opened:
    """A report's page; closing it asserts that it asked for nothing and that nothing went wrong."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page = browser.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.errors.append(said.text) if said.type != "log" else None,
        )
        self.page.on("dialog", lambda dialog: self.errors.append("a script of a run was run"))
        self.page.goto(path.as_uri())
        self.ready()
        self.path = path

    def ready(self) -> None:
        """Wait until the page can be used."""
        self.page.wait_for_selector("body[data-ready=true]", timeout=DEADLINE)

    def draw_all(self) -> None:
        """Draw every figure, in view or not."""
        self.page.evaluate("drawAll()")

    def as_new(self) -> None:
        """The page as it is when it was just opened; loading it anew takes 2 s."""
        self.page.set_viewport_size({"width": 1200, "height": 900})
        self.page.evaluate(
            "document.getElementById('trial').close(); if (pinned !== null) pin(pinned); scrollTo(0, 0);"
            "order = { column: null, down: false }; chosen = new Map();"
            "drawn = { smoothing: 0, means: true }; document.querySelector('#search').value = '';"
            "setTheme('light'); fill()"
        )
        self.ready()

    def column(self, number: int) -> list[str]:
        """The texts of a column of the table of trials, from 1."""
        return self.page.locator(f"#trials tbody td:nth-child({number})").all_inner_texts()

    def outlined(self, section: str) -> set[str]:
        """The trials that stand out in a section's figures."""
        names = (
            "n => n.map((p) => (p.layout.shapes || []).map((s) => s.name)).flat().filter(Boolean)"
        )
        return set(self.page.locator(f"#{section} .plot").evaluate_all(names))

    def point(self, section: str, trial: int, epoch: float | None = None) -> tuple[float, float]:
        """Where a trial's point is on the screen, in the section's first figure, scrolled to."""
        plot = self.page.locator(f"#{section} .plot").first
        plot.scroll_into_view_if_needed()
        found = plot.evaluate(
            """(node, [trial, epoch]) => {
              for (const trace of [...node.data].reverse()) {
                const i = (trace.customdata || []).findIndex(
                  (n, i) => n === trial && (epoch === null || trace.x[i] === epoch));
                if (i < 0) continue;
                const { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect();
                const x = box.x + xaxis._offset + xaxis.d2p(trace.x[i]);
                return [x, box.y + yaxis._offset + yaxis.d2p(trace.y[i])];
              }
            }""",
            [trial, epoch],
        )
        assert found, f"trial {trial} is not in {section}"
        return found[0], found[1]

    def serious(self) -> list[tuple[str, str]]:
        """The serious faults that axe finds: the rule, and an element."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        found = axe.Axe().run(self.page).response["violations"]
        serious = [f for f in found if f["impact"] in ("serious", "critical")]
        return [(f["id"], f["nodes"][0]["html"][:200]) for f in serious]

    def close(self) -> None:
        outside = [url for url in self.requests if url != self.path.as_uri()]
        self.page.close()
        assert not outside
        assert not self.errors
