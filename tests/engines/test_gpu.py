"""Lanes on a pretended GPU: the numbers of the CPU, and what the host has to do for them, counted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from caviar.base.errors import UsageError
from caviar.base.machine import TENANTS
from caviar.base.messages import Failed, Finished
from caviar.engines import gpu
from caviar.engines.experiment import NotFusibleError
from caviar.engines.gpu import GpuLostError, free_memory, gpu_lost, least_seconds, out_of_memory
from caviar.engines.lanes import calibration
from caviar.engines.lanes.calibration import choose
from caviar.engines.lanes.engine import Fused
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.solo import Solo
from caviar.engines.stacked.backend import ByTorch
from caviar.engines.stacked.tensors import Rows
from project.recipe import recipe
from project.train import main
from tests.engines.lanes import around_steps, training
from tests.engines.test_engine import Jobs, Memory, jobs, rates, result, serve  # noqa: F401 - a fixture
from tests.pretended_gpu import Notes, OnGpu, pretended_gpu

ON_GPU = {"trainer__accelerator": "auto", "trainer__deterministic": True}

KAPPA = "+metrics.kappa._target_=torchmetrics.classification.MulticlassCohenKappa"

CASES = {
    "as it ships": (),
    "dropout, clipped by norm": ("model.dropout=0.3", "trainer.gradient_clip_val=0.1"),
    "clipped by value": ("trainer.gradient_clip_val=0.01", "+trainer.gradient_clip_algorithm=value"),
    "a metric without a stacked form": (KAPPA,),
    "weights and smoothing": ("model.loss.class_weights=[1.0,2.0,0.5]", "model.loss.label_smoothing=0.2"),
    "in double precision": ("trainer.precision=64-true", "model.batch_norm=after", "optimizer=rmsprop"),
    "sgd by a cosine": ("optimizer=sgd", "optimizer.nesterov=true", "scheduler=cosine"),
    "no batch norm, plateau": ("model.batch_norm=none", "scheduler=plateau", "scheduler.patience=0"),
    "stopped early": ("callbacks=early_stopping", "callbacks.early_stopping.patience=1"),
    "validated every other epoch": ("trainer.check_val_every_n_epoch=2", "optimizer=adamw"),
    "a last batch that is not full": ("data.drop_last=false", "model.dropout=0.5"),
}  # fmt: skip


@pytest.fixture
def notes() -> Iterator[Notes]:
    with pretended_gpu() as found:
        yield found


def some(count: int, *overrides: str) -> list[Training]:
    """Trainings of one kind, of other widths, rates and lengths; they may be lanes on a GPU."""
    return [
        training(
            *overrides,
            **ON_GPU,
            seed=number,
            optimizer__lr=0.002 * 1.5**number,
            trainer__max_epochs=2 + number % 3,
            model__width=9 + number % 7,
        )
        for number in range(count)
    ]


def lived(
    trainings: list[Training], lanes: int, device: str, by: type[ByTorch] = ByTorch
) -> dict[int, Any]:
    """Rows and checkpoints of trainings that come and go on a few lanes, one taken off and put back."""
    stack, waiting, found = Stack(trainings, lanes, device), list(trainings), {}
    assert stack.use(by) is None
    for turn in range(100):
        for lane in stack.free:
            if waiting:
                stack.admit(waiting.pop(0), lane)
        if turn == 1:
            lane, other = stack.active[0], stack.active[-1]
            one, saved = stack.trainings[lane], stack.save(lane)
            stack.release(lane)
            assert one is not None
            stack.admit(one, lane)
            stack.load(lane, saved)
            stack.load(other, stack.save(other))
            stack = stack.resized(lanes + 1)
        ended = [one for one in stack.tick() if one.over]
        stack.fetch([one.lane for one in ended])
        for one in ended:
            assert one.error is None
            assert isinstance(one.training, Training)
            seed = one.training.recipe.seed
            found[seed] = one.training.rows, stack.checkpoint(one.lane), stack.save(one.lane)
            stack.release(one.lane)
        if not (waiting or stack.active):
            return found
    raise AssertionError("they never end")


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_lanes_on_a_gpu_come_to_the_very_numbers_of_the_cpu(overrides: tuple[str, ...]) -> None:
    with pretended_gpu():
        found = lived(some(7, *overrides), 3, "cuda")
        wanted = lived(some(7, *overrides), 3, "cpu")
    assert_same_lives(found, wanted)


def assert_same_lives(found: dict[int, Any], wanted: dict[int, Any]) -> None:
    assert found.keys() == wanted.keys() == set(range(7))
    for seed, (rows, checkpoint, saved) in wanted.items():
        assert found[seed][0] == rows
        for mine, its in (
            (found[seed][1]["state_dict"], checkpoint["state_dict"]),
            *((found[seed][2]["tensors"][name], own) for name, own in saved["tensors"].items()),
        ):
            assert list(mine) == list(its)
            assert all(torch.equal(mine[name], own) for name, own in its.items())
            assert not any(isinstance(own, OnGpu) for own in mine.values())


def test_a_sweeps_folders_are_those_of_the_cpu_though_memory_runs_out(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = rates(6, **{"model.dropout": 0.2})
    overrides = ("trainer.accelerator=auto", KAPPA)
    calls: list[int] = []

    def hungry(lanes: int, steps: Callable[[], None]) -> None:
        calls.append(lanes)
        steps()
        if len(calls) == 3:
            raise torch.OutOfMemoryError("the device is full")

    mine, its = jobs(values, *overrides, to="gpu"), jobs(values, *overrides, to="cpu")
    with monkeypatch.context() as patched, pretended_gpu():
        around_steps(patched, hungry)
        ends = serve(mine, compile=False).ends()
    serve(its, compile=False)
    assert calls[2] > calls[3] > 0
    for one, other in zip(mine, its, strict=True):
        assert isinstance(ends[one.number], Finished)
        assert result(one.folder)["value"] == result(other.folder)["value"]
        rows = [(Path(job.folder) / "metrics.csv").read_text() for job in (one, other)]
        assert rows[0] == rows[1]
        assert "val/kappa" in rows[0]
        best = [torch.load(Path(job.folder) / "checkpoints/best.ckpt", weights_only=True)
                for job in (one, other)]  # fmt: skip
        assert all(
            torch.equal(own, best[0]["state_dict"][n]) for n, own in best[1]["state_dict"].items()
        )


@pytest.mark.parametrize(
    "overrides", [(), ("model.dropout=0.3", "optimizer=sgd")], ids=["plain", "dropout"]
)
def test_a_step_waits_for_nothing_and_a_tick_once_on_any_number_of_lanes(
    overrides: tuple[str, ...], notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the host does in a life: it must not grow with the lanes, nor silently at all."""
    steps: list[tuple[int, int, int]] = []
    step = ByTorch._step

    def counted(self: ByTorch, *arguments: Any) -> Any:
        before = notes.copies.total(), notes.waits.total(), notes.kernels.total()
        losses = step(self, *arguments)
        after = notes.copies.total(), notes.waits.total(), notes.kernels.total()
        steps.append(tuple(new - old for new, old in zip(after, before, strict=True)))  # type: ignore[arg-type]
        return losses

    monkeypatch.setattr(ByTorch, "_step", counted)
    found, ticks = [], []
    for lanes in (4, 16):
        trainings = some(lanes, *overrides)
        stack = Stack(trainings, lanes, "cuda")
        for one in trainings:
            stack.admit(one)
        stack.tick()  # the first has to lay out the targets, and dropout's constants
        notes.clear()
        steps.clear()
        stack.tick()
        assert len(set(steps)) == 1
        ((copies, waits, kernels),) = set(steps)
        assert (copies, waits) == (0, 0)
        assert kernels <= 140
        tick = notes.copies.total(), notes.waits.total(), notes.kernels.total()
        assert tick[1] == 1, str(notes)  # for all that is logged of the epoch
        # Columns, order, dropout's keys, whose weights are the best: the host waits for none of them.
        assert notes.unwaited == tick[0] <= 4, str(notes)
        notes.clear()
        stack.fetch(stack.active)
        for lane in stack.active:
            stack.checkpoint(lane)
            stack.save(lane)
        taken = notes.copies.total(), notes.waits.total(), notes.kernels.total()
        assert taken[:2] == (1, 1), str(notes)
        notes.clear()
        for one in [stack.trainings[lane] for lane in stack.active]:
            assert one is not None
            stack.release(stack.trainings.index(one))
        for one in some(lanes, *overrides):
            stack.admit(one)
        stack._settle()
        admitted = notes.copies.total(), notes.waits.total(), notes.kernels.total()
        assert notes.unwaited == admitted[0] == 2, str(notes)
        assert admitted[1] == 0, str(notes)
        found.append((kernels, taken, admitted))
        ticks.append(tick[2])
    assert found[0] == found[1]
    assert abs(ticks[0] - ticks[1]) <= 6  # an epoch that is the best of none keeps no weights


def test_the_next_epochs_order_is_drawn_while_the_gpu_works_at_this_one(notes: Notes) -> None:
    drawn: list[tuple[int, int, int]] = []

    def order(own: Any, samples: int, seed: int, epoch: int) -> torch.Tensor:
        drawn.append((seed, epoch, notes.waits.total()))
        return own(samples, seed, epoch)

    trainings = [training(**ON_GPU, seed=n, trainer__max_epochs=3 - n) for n in range(2)]
    for one in trainings:
        one.recipe = replace(one.recipe, order=partial(order, one.recipe.order))
    stack, found = Stack(trainings, 2, "cuda"), []
    for one in trainings:
        stack.admit(one)
    for _ in range(2):
        notes.clear()
        drawn.clear()
        stack.tick()
        found.append((list(drawn), notes.waits.total()))
    # Of the first epoch at its beginning; of the next before the one wait, but for what ends with this one.
    assert found == [([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], 1), ([(0, 2, 0)], 1)]


def test_lanes_are_fetched_though_memory_has_run_out(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = some(9)
    stack, wanted = Stack(trainings, 9, "cuda"), []
    for one in trainings:
        stack.admit(one)
    stack.tick()
    for lane in stack.active:
        stack._dock.stepped()
        wanted.append(stack.last_weights(lane))
    stack._dock.stepped()
    sizes: list[int] = []
    move = Rows.move

    def scarce(self: Rows, rows: Any, to: Rows, lanes: Any) -> None:
        sizes.append(len(rows))
        if len(rows) > 4:
            raise torch.OutOfMemoryError("full")
        move(self, rows, to, lanes)

    monkeypatch.setattr(Rows, "move", scarce)
    stack.fetch(stack.active)
    assert sizes == [9, 9, 9, 8, 4, 4, 1]
    for lane, weights in enumerate(wanted):
        found = stack.last_weights(lane)
        assert all(torch.equal(found[name], own) for name, own in weights.items())
    monkeypatch.setattr(
        Rows, "move", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("all gone"))
    )
    stack._dock.stepped()
    with pytest.raises(torch.OutOfMemoryError, match="all gone"):
        stack.fetch(stack.active)


def test_a_training_that_is_to_be_deterministic_is_a_lane_on_a_gpu(notes: Notes) -> None:
    for deterministic in (True, False, "warn"):
        one = training(trainer__accelerator="auto", trainer__deterministic=deterministic)
        assert Stack([one], 1, "cuda").admit(one) == 0


def test_but_not_with_an_embedding_whose_gradient_is_a_sum_in_no_certain_order(
    notes: Notes,
) -> None:
    from torch import nn

    own = training(**ON_GPU).recipe
    words = torch.randint(0, 5, (20, 3)), torch.arange(20) % 2
    embedding = replace(
        own,
        network=lambda: nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2)),
        architecture=None, train=words, val=words, class_weights=None, called=None,
    )  # fmt: skip
    with pytest.raises(NotFusibleError, match="an Embedding on a GPU"):
        Training(embedding)
    Training(replace(embedding, trainer={**own.trainer, "deterministic": False}))


def test_as_many_lanes_are_measured_as_a_gpu_has_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "_crowded", lambda: True)
    seen: list[int] = []

    def rehearse(self: Stack) -> float:
        seen.append(self.lanes)
        if self.lanes > fits:
            raise torch.OutOfMemoryError("full")
        return 1e-3

    monkeypatch.setattr(Stack, "rehearse", rehearse)
    monkeypatch.setattr(calibration, "_solo_step", lambda *_: 1e-3)
    bytes_a_lane = calibration._bytes_a_lane(training())
    for fits, tenants, memory, most in (
        (4096, 1, 1e12, 1024), (4096, 1, 300 * bytes_a_lane, 64), (4096, 16, 16 * 400 * bytes_a_lane, 256),
        (100, 1, 1e12, 64),
    ):  # fmt: skip
        monkeypatch.setenv(TENANTS, str(tenants))
        monkeypatch.setattr(
            calibration, "_LANES", {**calibration._LANES, "cuda": (4, 64, 256, 1024)}
        )
        seen.clear()
        with pretended_gpu(int(memory)):
            choice = choose(training(**ON_GPU), None, "cuda")
        assert choice.lanes == most, (fits, tenants, memory)
    with pretended_gpu():
        assert Fused(main, recipe)._kinds.most == 4096  # what was measured decides
    assert Fused(main, recipe)._kinds.most == 64


def test_memory_is_shared_among_the_tenants_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_gpu(8000):
        monkeypatch.delenv(TENANTS, raising=False)
        assert free_memory() == 8000
        monkeypatch.setenv(TENANTS, "4")
        assert free_memory() == 2000
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (500, 8000))
        assert free_memory() == 500


def test_what_has_no_memory_is_told_from_what_has_no_gpu_any_more(notes: Notes) -> None:
    for error in (
        torch.OutOfMemoryError("full"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
    ):
        assert out_of_memory(error)
        assert gpu.told_no_memory(f"{type(error).__name__}: {error}")
        assert not gpu_lost(error)  # this one answers
    assert not out_of_memory(torch.AcceleratorError("CUDA error: an illegal memory access"))
    assert not out_of_memory(ValueError("CUDA error: out of memory"))


def test_a_driver_that_hangs_is_told_by_the_engine_in_a_line(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(gpu, "_PATIENCE", 0.01)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: answered.wait())
    with pytest.raises(UsageError) as error:
        Fused(main, recipe)
    told = "the GPU's driver has not answered for 0.01 s (does nvidia-smi?)"
    assert str(error.value) == f"{told}; executor.gpus_per_trial=0 leaves it alone"
    answered.set()
    monkeypatch.setattr(torch.cuda, "synchronize", gone)
    Fused(main, recipe)  # what its trials will say


def gone(*_: Any) -> None:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_worker_that_has_lost_its_gpu_ends_and_charges_no_trial_with_it(
    jobs: Jobs,  # noqa: F811
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", gone)
    calls: list[int] = []

    def steps(lanes: int, own: Callable[[], None]) -> None:
        calls.append(lanes)
        own()
        if len(calls) == 2:
            gone()

    around_steps(monkeypatch, steps)
    inbox = Memory(jobs(rates(4), "trainer.accelerator=auto"))
    with pytest.raises(
        GpuLostError, match="can use its GPU no more: AcceleratorError: CUDA error: an ill"
    ):
        Fused(main, recipe, lanes=4, compile=False).serve(inbox, inbox.send)
    assert inbox.ends() == {}
    assert len(calls) == 2


def test_a_trial_of_a_trainer_fails_by_it_and_the_next_is_not_begun(
    jobs: Jobs,  # noqa: F811
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", gone)
    inbox = Memory(jobs(rates(3)))
    with pytest.raises(GpuLostError):
        Solo(gone).serve(inbox, inbox.send)
    ((number, end),) = inbox.ends().items()
    assert number == 0
    assert isinstance(end, Failed)
    assert len(inbox.jobs) == 2


def test_a_cpu_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    monkeypatch.setattr(torch.cuda, "synchronize", gone)
    around = ValueError("CUDA error")
    around.__context__ = KeyError("raised on the way")
    around.__context__.__context__ = around  # as where an error is raised again
    assert not gpu_lost(around)


def test_what_others_take_of_the_processor_is_no_part_of_how_long_a_step_takes() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        off = threading.Event()
        assert least_seconds(lambda: off.wait(0.02), "cpu") < 0.01  # nobody sets it
    finally:
        torch.set_num_threads(threads)
