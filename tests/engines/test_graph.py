"""Lanes on a GPU whose steps and validations are CUDA graphs: the CPU's numbers, by one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from caviar.engines.lanes import calibration
from caviar.engines.lanes.calibration import choose
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.stacked import backend, validation
from caviar.engines.stacked.backend import ByTorch
from caviar.engines.stacked.graph import ByGraph
from caviar.engines.stacked.recording import apart
from tests.engines.lanes import training
from tests.engines.test_gpu import KAPPA, ON_GPU, assert_same_lives, lived, some
from tests.pretended_gpu import GPU, Notes, pretended_gpu

NO_GRAPH = "validated without a CUDA graph: "


@pytest.fixture
def notes() -> Iterator[Notes]:
    with pretended_gpu() as found:
        yield found


@pytest.mark.parametrize("overrides", [
    (), ("model.dropout=0.3", KAPPA), ("data.drop_last=false", "model.dropout=0.3"),
    ("model.loss.label_smoothing=0.2", "trainer.gradient_clip_val=0.1"),
    ("trainer.check_val_every_n_epoch=2", "optimizer=adamw", "trainer.limit_val_batches=1"),
], ids=["plain", "dropout, a metric by lane", "a last batch", "smoothing", "seldom validated"])  # fmt: skip
def test_lanes_by_graphs_come_to_the_very_numbers_of_the_cpu(
    overrides: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    notes: Notes,
) -> None:
    monkeypatch.setattr(backend, "_DRAWN_AT_ONCE", 2000)  # two or three steps at a time
    with caplog.at_level("INFO"):
        found = lived(some(7, *overrides), 3, "cuda", ByGraph)
    assert notes.kernels["a graph"] > 0
    assert NO_GRAPH not in caplog.text
    assert_same_lives(found, lived(some(7, *overrides), 3, "cpu"))


def ticked(trainings: list[Training], ticks: int, by: type[ByTorch] = ByGraph) -> Stack:
    """A stack on the GPU after some epochs."""
    stack = Stack(trainings, len(trainings), "cuda")
    assert stack.use(by) is None
    for one in trainings:
        stack.admit(one)
    for _ in range(ticks):
        stack.tick()
    return stack


def test_a_ticks_end_is_a_graph_and_a_wait_on_any_number_of_lanes(
    monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    """What is left of a tick: rates and orders, a launch a step, one for validation, the best weights."""
    counts: list[tuple[int, int, int]] = []
    evaluate = Stack._evaluate

    def counted(self: Stack) -> Any:
        notes.clear()
        found = evaluate(self)
        counts.append((notes.kernels.total(), notes.copies.total(), notes.waits.total()))
        return found

    monkeypatch.setattr(Stack, "_evaluate", counted)
    for lanes in (4, 16):
        stack = ticked([training(**ON_GPU, seed=n) for n in range(lanes)], 3)
        (kernels, _, waits), *later = counts[-3:]
        assert (kernels > 50, waits) == (True, 2)  # one by one, and a graph to be held against that
        assert later == [(1, 0, 1)] * 2, str(notes)
        monkeypatch.setattr(Stack, "_evaluate", evaluate)
        notes.clear()
        stack.tick()
        monkeypatch.setattr(Stack, "_evaluate", counted)
        assert notes.unwaited == notes.copies.total() == 3, str(notes)
        assert notes.waits.total() == 1
        assert notes.kernels.total() == 20 + stack.on(0).course.steps


def test_a_lane_that_smooths_brings_another_loss_and_so_another_graph(notes: Notes) -> None:
    found = []
    for device in ("cuda", "cpu"):
        some = [training(**ON_GPU, seed=n, model__loss__label_smoothing=0.2 * n) for n in range(2)]
        stack = Stack(some, 2, device)
        assert device == "cpu" or stack.use(ByGraph) is None
        stack.admit(some[0])
        stack.tick()
        stack.admit(some[1])
        for _ in range(2):
            stack.tick()
        stack.release(1)
        stack.tick()
        found.append([one.rows for one in some])
    assert found[0] == found[1]


def test_a_lane_that_is_no_number_any_more_has_the_metrics_that_the_cpu_gives_it(
    notes: Notes,
) -> None:
    found = []
    for device in ("cuda", "cpu"):
        trainings = [training(**ON_GPU, seed=n) for n in range(3)]
        stack = Stack(trainings, 3, device)
        assert device == "cpu" or stack.use(ByGraph) is None
        for one in trainings:
            stack.admit(one)
        stack.tick()
        stack._settle()
        stack.tensors.net.flat.detach()[1] = torch.nan
        losses = stack._validation(stack.backend, [0, 1, 2], lambda: None)
        found.append({name: own.tolist() for name, own in losses.items()})
    assert repr(found[0]) == repr(found[1])
    assert "nan" in repr(found[0]["loss"])


def comes_elsewhere(launch: Callable[[], Any], changed: Any = ()) -> Any:
    rows, probabilities = launch()
    return (lambda: rows.mul_(1.1)), (rows, probabilities)


def is_full(launch: Callable[[], Any], changed: Any = ()) -> Any:
    raise torch.OutOfMemoryError("the device is full")


def waits(launch: Callable[[], Any], changed: Any = ()) -> Any:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device=GPU).item()


@pytest.mark.parametrize(("recorded", "why"), [
    (comes_elsewhere, "it comes 0.1 away from what torch does"),
    (is_full, "OutOfMemoryError: the device is full"),
    (waits, "RuntimeError: CUDA error: operation not permitted when stream is capturing"),
], ids=["it is wrong", "there is no memory", "it cannot be recorded"])  # fmt: skip
def test_a_validation_whose_graph_cannot_be_trusted_goes_on_without_and_says_so(
    recorded: Callable[..., Any],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    notes: Notes,
) -> None:
    monkeypatch.setattr(validation, "recorded", recorded)
    mine, its = ([training(**ON_GPU, seed=n) for n in range(2)] for _ in range(2))
    with caplog.at_level("INFO"):
        ticked(mine, 3)
    assert caplog.text.count(NO_GRAPH + why) == caplog.text.count(NO_GRAPH) == 1
    ticked(its, 3, ByTorch)
    assert [one.rows for one in mine] == [one.rows for one in its]


def test_a_lost_gpu_is_no_validation_without_a_graph(
    monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    def lost(*_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(validation, "recorded", lost)
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    with pytest.raises(torch.AcceleratorError):
        ticked([training(**ON_GPU)], 1)


def test_numbers_are_apart_by_their_share_and_alike_where_both_are_none() -> None:
    nan, inf = torch.nan, torch.inf
    wanted = torch.tensor([[3.0, 4.0], [nan, 1.0], [inf, 1.0], [0.0, 0.0]], dtype=torch.float64)
    assert apart(wanted, wanted) == 0
    assert apart(torch.tensor([[3.0, 4.5]]), wanted[:1].float()) == pytest.approx(0.1)
    for row, off in ((1, [2.0, 1.0]), (0, [nan, 4.0]), (2, [1.0, 1.0]), (3, [0.0, 1e-9])):
        assert apart(torch.tensor([off], dtype=torch.float64), wanted[row : row + 1]) >= 1


def test_a_graph_is_chosen_where_it_is_faster_and_never_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "_crowded", lambda: True)
    monkeypatch.setattr(calibration, "_solo_step", lambda *_: 1.0)
    monkeypatch.setattr(
        Stack, "rehearse", lambda self: 1.0 if isinstance(self.backend, ByGraph) else 2.0
    )
    with pretended_gpu():
        assert choose(training(**ON_GPU), 4, "cuda").by == "graph"
        assert choose(training(**ON_GPU), 4, "cuda", native=False).by == "torch"
    assert choose(training(), 4, "cpu").by in ("torch", "native")
    why = Stack([training()], 1).use(ByGraph)
    assert why == "it is on cpu, and CUDA's graphs are for a GPU"
