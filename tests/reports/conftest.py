"""One browser for all tests of the report's page, and the page of a file's own ``sweep``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caviar
from caviar.reports.html import write_report
from tests.reports.browser import Opened, chromium


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def one_page(browser: Any, sweep: Any) -> Iterator[Opened]:
    """The report of ``sweep``, a folder or what `caviar.load` makes of one, which a file's tests share."""
    loaded = caviar.load(sweep) if isinstance(sweep, Path) else sweep
    page = loaded.folder / "report.html"
    write_report([loaded], page)
    found = Opened(browser, page)
    yield found
    found.close()


@pytest.fixture
def opened(one_page: Opened) -> Iterator[Opened]:
    """That page as it is when it is opened; no test may leave an error in its console."""
    one_page.as_new()
    yield one_page
    assert not one_page.errors
