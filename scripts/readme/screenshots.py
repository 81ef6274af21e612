"""Takes the README's pictures of a report: ``.venv/bin/python scripts/readme/screenshots.py SWEEP``.

It needs the ``dev`` extra and an installed chromium, and writes two pictures.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import caviar
from caviar.reports.html import write_report

WIDTH, HEIGHT = 1200, 1960
COLOURS = 128
"""A palette keeps the files below 150 KB."""


def main(sweep: str) -> None:
    """Write both pictures beside this file."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        write_report([caviar.load(sweep)], path)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)
            page.goto(path.as_uri())
            page.wait_for_selector("body[data-ready=true]")
            page.evaluate("drawAll()")
            picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
            picture.quantize(COLOURS).save(here / f"report-{theme}.png", optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["latest"]))
