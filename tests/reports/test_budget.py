"""The report on 1,000 trials of 50 epochs: how large it is, and how soon it can be used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import caviar
from caviar.reports.data import sweep_data
from caviar.reports.html import page
from tests.made_up import make_sweep
from tests.reports.browser import Opened

BYTES = 8e6
SECONDS = 3
NOISE = 5
"""Times slower than a quiet machine of two cores: others may run beside this."""


def test_a_thousand_trials_of_fifty_epochs_fit_the_budget(browser: Any, tmp_path: Path) -> None:
    held = sweep_data(caviar.load(make_sweep(tmp_path / "made", n_trials=24, epochs=5)))
    first = held["trials"]
    held["judged"] = {"why": "not asked"}
    held["trials"] = [{**first[n % len(first)], "number": n} for n in range(1000)]
    curve = {"y": [round(math.sin(epoch), 5) for epoch in range(50)], "x": None}
    held["curves"] = {
        name: {str(n): curve for n in range(1000)} for name in ("val/acc", "val/loss", "train/loss")
    }
    path = tmp_path / "report.html"
    path.write_text(page([held]), encoding="utf-8")
    assert path.stat().st_size <= BYTES
    opened = Opened(browser, path)
    opened.page.evaluate("document.getElementById('history').scrollIntoView()")
    opened.page.wait_for_selector("#history svg.main-svg")
    marks = "performance.getEntriesByType('mark').map((m) => [m.name, m.startTime / 1000])"
    seconds = dict(opened.page.evaluate(marks))
    # Usable, and then with every figure that is in view.
    assert seconds["ready"] <= seconds["drawn"] <= NOISE * SECONDS
    assert len(opened.column(1)) == 1000
    opened.close()
