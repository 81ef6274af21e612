"""One browser for all tests of the report's page."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.reports.browser import chromium


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found
