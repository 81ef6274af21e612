"""The loop in C++: where it can be had, and what happens where it cannot."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caviar.base.machine import compiler
from caviar.engines.lanes.calibration import choose
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.native import binding as native
from caviar.engines.native.build import build
from caviar.engines.native.loop import Native
from caviar.engines.stacked.compiling import compiled, why_not_compiled
from tests.engines.lanes import on_a_lane, strangers, training


@pytest.fixture
def fresh(cache: Path) -> Iterator[Path]:
    """Nothing is compiled yet."""
    shutil.rmtree(cache / "native")
    native.library.cache_clear()
    yield cache / "native"
    native.library.cache_clear()


def test_without_a_compiler_lanes_are_trained_by_torch_and_it_is_said(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    stack = Stack([training()], 2)
    assert stack.use(Native) == "no C++ compiler was found: neither CXX, g++ nor clang++"
    assert not isinstance(stack.backend, Native)
    with caplog.at_level("INFO"):
        assert choose(training(), None, "cpu").by != "native"
    assert "not by the loop in C++: no C++ compiler was found" in caplog.text


def test_a_compiler_that_fails_is_quoted_in_one_line(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'fatal: no such header' >&2\necho more >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("CXX", str(broken))
    why = Stack([training()], 2).use(Native)
    assert why == "loop.cpp was not compiled: fatal: no such header"
    assert not list(fresh.iterdir())


def test_what_keeps_torch_from_compiling_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "true")
    assert why_not_compiled("cpu", Path("/opt/torch")) is None
    why = why_not_compiled("cpu", Path("/a place/torch"))
    assert why == "torch's compiler cannot work from a folder with a space: /a place/torch"
    assert why_not_compiled("cuda", Path("/a place/torch")) is None
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not_compiled("cpu", Path("/opt/torch")) == "there is no C++ compiler"


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_it_is_compiled_once_and_kept_for_this_user_alone(fresh: Path) -> None:
    first = build(fresh)
    made = first.stat().st_mtime_ns
    assert build(fresh) == first
    assert first.stat().st_mtime_ns == made
    assert fresh.stat().st_mode & 0o777 == 0o700
    assert list(fresh.iterdir()) == [first]


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (("trainer.precision=bf16-mixed",), "its data are torch.float32, its layers bf16"),
    ],
)
def test_what_the_loop_does_not_know_is_named(overrides: tuple[str, ...], why: str) -> None:
    assert Stack([training(*overrides)], 2).use(Native) == why


def test_a_batch_of_one_is_no_loops_and_torchs_words_are_a_lanes() -> None:
    one = Training(replace(training().recipe, batch_size=1))
    stack = Stack([one], 1)
    assert stack.use(Native) == "batch norm of one sample"
    stack.admit(one)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        stack.tick()


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_a_loop_compiled_for_other_structures_is_not_used_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native.optimizer_of("torch.optim.SGD"), "constants", ("lr", "momentum"))
    native.library.cache_clear()
    why = Stack([training()], 1).use(Native)
    assert why == "loop.cpp does not go with binding.py: momentum:0 there, lr:0 here"
    monkeypatch.undo()
    native.library.cache_clear()


def test_sanitizers_find_nothing_in_the_loop(tmp_path: Path) -> None:
    found = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True).stdout
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
        if shutil.which("g++")
    ]
    paths = [line.strip() for line in found]
    if not paths or not all(map(os.path.isabs, paths)):
        pytest.skip("no g++ with sanitizers")
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.sanitized"],
        env={
            **os.environ,
            "CAVIAR_CACHE": str(tmp_path),
            "CXX": "g++",
            "LD_PRELOAD": f"{paths[0]} {paths[2]}",  # where C++ exceptions are thrown is looked up
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout == "nothing was found\n", done.stdout + done.stderr


@pytest.mark.parametrize("label", [-1, 10])
def test_a_class_out_of_bounds_is_left_to_torch_which_refuses_it(label: int) -> None:
    one = training()
    x, y = one.recipe.train
    one.recipe = replace(one.recipe, train=(x, torch.where(y == 0, label, y)))
    stack = Stack([one], 1)
    classes = stack.tensors.num_classes
    assert stack.use(Native) == f"its classes are not whole numbers from 0 to {classes - 1}"
    stack.admit(one)
    with pytest.raises((IndexError, RuntimeError)):
        stack.tick()


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_an_order_out_of_bounds_is_refused_before_anything_is_read() -> None:
    one = training()
    beyond = replace(one.recipe, order=lambda samples, seed, epoch: torch.arange(samples) + samples)
    one.recipe = beyond
    stack = Stack([one], 1)
    assert stack.use(Native) is None
    stack.admit(one)
    with pytest.raises(IndexError, match=r"an order of samples from \d+ to \d+: there are"):
        stack.tick()


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_a_lane_is_the_same_on_any_number_of_threads() -> None:
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(on_a_lane(training(), strangers(9), native=True))
    assert found[0].rows == found[1].rows
    for name, tensor in found[0].weights.items():
        assert torch.equal(found[1].weights[name], tensor), name


@pytest.mark.filterwarnings("ignore")  # torch's own, as its compiler is imported
def test_torchs_compiler_keeps_its_work_where_nobody_else_can_write(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TORCHINDUCTOR_CACHE_DIR", "/tmp/torchinductor_you"
    )  # as torch itself sets it
    compiled(lambda x: x)
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) == cache / "inductor"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    compiled(lambda x: -x)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/mine"
