"""Lanes that call their module, on a GPU: the very numbers of the CPU, and no wait in a step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import default_collate
from torch.utils.weak import WeakIdKeyDictionary

from caviar.base.machine import TENANTS
from caviar.engines.called import feeds
from caviar.engines.called.bank import Bank
from caviar.engines.called.feeds import stacked_batches
from caviar.engines.called.rehearsal import Rehearsal
from caviar.engines.called.stack import CalledStack
from caviar.engines.called.training import CalledTraining
from caviar.engines.experiment import NotFusibleError
from caviar.engines.lanes import calibration
from caviar.engines.lanes.calibration import choose
from tests import pretended_gpu as pretended
from tests.engines.called import modules as m
from tests.engines.called.compare import Came, Tensors, called, experiment, on_a_lane
from tests.engines.called.test_modules import CASES, rates
from tests.pretended_gpu import Notes, OnGpu, pretended_gpu

pytestmark = pytest.mark.usefixtures("unfolded")


def some(
    name: str, count: int, accelerator: str, its: Callable[[], Any] | None = None, **more: Any
) -> list[CalledTraining]:
    """Trainings of a case, of ``its`` data where they are given."""
    make, data, vary, settings = CASES[name]
    data = its or data
    own = {**settings, "accelerator": accelerator, "max_epochs": 2, **more}
    return [called(experiment(make, data, n, **{**own, **vary(n)})) for n in range(count)]


def came_to(name: str, accelerator: str) -> Came:
    one, *strangers = some(name, 3, accelerator)
    return on_a_lane(one, strangers, 0)


@pytest.mark.parametrize("name", [
    "numbers that differ between lanes", "a transformer", "torchmetrics in its steps", "logged every step",
    "a frozen backbone and groups", "accumulated and clipped", "clipped by value", "by NAdam", "by RAdam",
    "by Adagrad", "by Adadelta", "several labels, weighted", "tied weights",
    "a regression by Huber's loss", "numbers that steps take as they are", "a schedule of its own",
    "validated every other epoch",
])  # fmt: skip
def test_lanes_on_a_gpu_come_to_the_very_numbers_of_the_cpu(name: str) -> None:
    with pretended_gpu() as notes:
        mine, its = (came_to(name, accelerator) for accelerator in ("auto", "cpu"))
        assert notes.kernels["a graph"] > 0
    assert mine.rows == its.rows
    for found, wanted in ((mine.state, its.state), (mine.best, its.best)):
        assert list(found) == list(wanted)
        for key, own in wanted.items():
            assert not isinstance(found[key], OnGpu), key
            assert torch.equal(found[key], own), key


def test_averages_on_a_gpu_are_those_of_the_cpu() -> None:
    def came(accelerator: str) -> Came:
        trainings = [
            called(
                experiment(m.Plain, m.vectors, n, accelerator=accelerator, max_epochs=2 + n),
                callbacks=lambda n=n: {"ema": EMAWeightAveraging(decay=0.7 + n / 9)},
            )
            for n in range(3)
        ]
        return on_a_lane(trainings[0], trainings[1:], 0)

    with pretended_gpu():
        mine, its = came("auto"), came("cpu")
    assert mine.rows == its.rows
    for found, wanted in ((mine.state, its.state), (mine.best, its.best)):
        for key, own in wanted.items():
            assert torch.equal(found[key], own), key


def counts(notes: Notes) -> tuple[int, int]:
    return notes.waits.total(), notes.copies.total()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Waits and copies of each step, that of its batch included."""
    found: list[tuple[int, int]] = []
    train, begin, last = Bank.train, Bank.begin, [(0, 0)]

    def begun(self: Bank) -> None:
        begin(self)
        last[0] = counts(pretended.NOTES)

    def counted(self: Bank, *arguments: Any) -> None:
        train(self, *arguments)
        now = counts(pretended.NOTES)
        found.append((now[0] - last[0][0], now[1] - last[0][1]))
        last[0] = now

    monkeypatch.setattr(Bank, "begin", begun)
    monkeypatch.setattr(Bank, "train", counted)
    return found


def collated() -> Tensors:
    """Vectors whose batches are put together by a function of theirs."""
    data = m.vectors()
    data.more = {"collate_fn": lambda rows: default_collate(rows)}
    return data


@pytest.mark.parametrize(("name", "data", "part", "copied"), [
    # A tick's first step has the rows of all its batches, and an optimizer's constants and columns.
    ("numbers that differ between lanes", m.vectors, 0.25, [3, 0, 0, 0, 0, 0]),
    ("a schedule of its own", m.vectors, 0.25, [3, 2, 2, 2, 2, 2]),  # a rate a step
    ("numbers that differ between lanes", collated, 0.25, [4, 2, 2, 2, 2, 2]),  # a batch a step
    ("numbers that differ between lanes", m.vectors, 0, [4, 2, 2, 2, 2, 2]),
], ids=["in memory", "another rate each step", "collated", "larger than the GPU"])  # fmt: skip
def test_a_step_waits_for_nothing_and_copies_nothing_that_is_there_on_any_number_of_lanes(
    name: str,
    data: Callable[[], Tensors],
    part: float,
    copied: list[int],
    steps: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "_PART", part)
    monkeypatch.setattr(feeds, "_there", WeakIdKeyDictionary())
    came: dict[Any, Came] = {}
    for lanes in (2, 5):
        with pretended_gpu() as notes:
            trainings = some(name, lanes, "auto", data, max_epochs=4)
            steps.clear()
            came[lanes] = on_a_lane(trainings[0], trainings[1:], 0)
            # Of each epoch but the first, a step is held against its graphs: one, and the optimizers'.
            assert [waits for waits, _ in steps] == [0, 2, 0, 0, 0, 0, *[2, 0, 0, 0, 0, 0] * 3]
            epochs = [[own for _, own in steps[start : start + 6]] for start in range(0, 24, 6)]
            assert epochs[2:] == [copied, copied], str(notes)
            assert notes.copies.total() - notes.unwaited <= 4  # the data themselves, once
            trainings = some(name, lanes, "cpu", data, max_epochs=4)
            its = on_a_lane(trainings[0], trainings[1:], 0)
        assert came[lanes].rows == its.rows
        assert all(torch.equal(came[lanes].state[key], own) for key, own in its.state.items())


class Counting(m.Plain):
    """Its loss hangs on where in its training it is."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        far = 1e-2 * self.trainer.global_step + 1e-3 * self.trainer.current_epoch
        return (
            super().training_step(batch, batch_idx) + far * next(self.parameters()).square().sum()
        )


def test_what_trainers_count_goes_on_by_itself_on_lanes_that_are_elsewhere_in_their_trainings(
    steps: list[tuple[int, int]],
) -> None:
    def counting(accelerator: str) -> list[CalledTraining]:
        return [
            called(experiment(Counting, m.vectors, n, accelerator=accelerator, max_epochs=6 + n))
            for n in range(2)
        ]

    with pretended_gpu():
        one, other = trainings = counting("auto")
        stack = CalledStack(trainings, 2)
        stack.admit(one)
        stack.tick()
        stack.admit(other)
        for _ in range(3):
            assert [ended.error for ended in stack.tick()] == [None, None]
        assert steps[-6:] == [(1, 3), *[(0, 0)] * 5]
    for mine, its in zip(trainings, counting("cpu"), strict=True):
        alone = CalledStack([its], 1)
        alone.admit(its)
        for row in mine.rows:
            alone.tick()
            assert its.rows[-1] == pytest.approx(row)


def test_data_that_change_are_sent_again_and_rows_that_there_are_not_are_no_lost_gpu() -> None:
    with pretended_gpu() as notes:
        (one,) = some("numbers that differ between lanes", 1, "auto", partial(m.vectors, 7))
        notes.clear()

        def batches() -> list[Any]:
            return list(stacked_batches([one.train], [0], "cuda"))

        first, again = batches(), batches()
        assert notes.copies.total() == 2 + 1 + 1  # x, y, and the rows of each epoch
        assert all(isinstance(own, OnGpu) for (x, y), _ in first for own in (x, y))
        assert all(
            torch.equal(a[0].inner, b[0].inner) for (a, _), (b, _) in zip(first, again, strict=True)
        )
        assert one.train.tensors is not None
        one.train.tensors[0].neg_()
        assert torch.equal(batches()[0][0][0].inner, -first[0][0][0].inner)
        one.train.rows = lambda epoch: [torch.tensor([0, 44])]  # type: ignore[method-assign]
        with pytest.raises(
            IndexError, match="index 44 is out of bounds for dimension 0 with size 44"
        ):
            batches()


def test_how_they_are_best_run_is_measured_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_CALLED_LANES", {"cuda": (2,)})
    monkeypatch.setattr(
        Rehearsal, "solo_step", lambda self: 1.0
    )  # no whole module can be moved here
    with pretended_gpu() as notes:
        (one,) = some("numbers that differ between lanes", 1, "auto")
        notes.clear()
        assert choose(one, None, "cuda").lane_step > 0
        assert any("rehearsal.py" in line for line in notes.waits)


@pytest.mark.parametrize(("fits", "tenants", "memory", "lanes"), [
    (4096, 1, 10_000, 1024),
    (100, 1, 10_000, 64),
    (4096, 1, 500, 256),
    (4096, 8, 1000, 64),
], ids=["as many as there are", "out of memory", "of its memory", "of its share of it"])  # fmt: skip
def test_as_many_lanes_are_measured_as_a_gpu_has_memory_for(
    fits: int, tenants: int, memory: int, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [0]

    def lane_step(self: Rehearsal, lanes: int) -> float:
        if lanes > fits:
            raise torch.OutOfMemoryError("full")
        taken[0] = lanes  # a byte a lane
        return 1e-3 / lanes

    monkeypatch.setenv(TENANTS, str(tenants))
    monkeypatch.setattr(calibration, "_crowded", lambda: True)
    monkeypatch.setattr(Rehearsal, "lane_step", lane_step)
    monkeypatch.setattr(Rehearsal, "solo_step", lambda self: 1.0)
    with pretended_gpu():
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (memory - taken[0], memory))
        (one,) = some("numbers that differ between lanes", 1, "auto")
        assert choose(one, None, "cuda").lanes == lanes


def test_what_is_no_lane_on_a_gpu_is_told() -> None:
    with pretended_gpu():
        with pytest.raises(NotFusibleError, match="Adamax, lane by lane, on a GPU"):
            came_to("by Adamax", "auto")
        with pytest.raises(NotFusibleError, match="whether a module's steps are, on a GPU"):
            some("numbers that differ between lanes", 1, "auto", deterministic=True)
        # Its numbers are drawn where it says, which is not where the lanes are.
        with pytest.raises(NotFusibleError, match="at least two devices"):
            came_to("a convolution that augments", "auto")
    with pytest.raises(NotFusibleError, match="accelerator=gpu"):
        called(experiment(m.Plain, m.vectors, 0, **rates(0), accelerator="gpu"))
