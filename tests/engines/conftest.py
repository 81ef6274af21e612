"""What the tests of engines share."""

import shutil
from pathlib import Path

import pytest
import torch

from caviar.base.machine import compiler
from caviar.engines.called import template
from caviar.engines.native.build import build


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CPU computes in a way of its own, up to rounding, it computes as a GPU does."""
    monkeypatch.setattr(template, "FOLDING", {})


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the loop in C++ is compiled to, once for all tests."""
    folder = tmp_path_factory.mktemp("native")
    if compiler() is not None:
        build(folder)
    return folder


@pytest.fixture(autouse=True)
def cache(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, but for what is compiled."""
    cache = tmp_path / "cache"
    shutil.copytree(library, cache / "native")
    monkeypatch.setenv("CAVIAR_CACHE", str(cache))
    return cache


@pytest.fixture(params=["torch", "native"])
def native(request: pytest.FixtureRequest) -> bool:
    """Whether lanes are trained by the loop in C++: what a lane comes to must be the same."""
    if request.param == "native" and compiler() is None:
        pytest.skip("no C++ compiler")
    return request.param == "native"
