"""Lanes that call their module, by CUDA graphs: the very numbers of the CPU, or why a step is no graph."""

import random
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from caviar.engines.called import graph
from caviar.engines.called.bank import Bank
from caviar.engines.called.graph import Graphs
from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.recordable import UntoldError, untold
from caviar.engines.called.stack import CalledStack
from caviar.engines.called.training import CalledTraining
from project.supervised import Mean
from tests.engines.called import modules as m
from tests.engines.called.compare import Came, Tensors, called, experiment, on_a_lane
from tests.pretended_gpu import NOTES, Graph, pretended_gpu

pytestmark = pytest.mark.usefixtures("unfolded")

LAUNCHED = "launched step by step, not by a CUDA graph: "


class Batches(Tensors):
    """Validated in four batches."""

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[1], 4)


def vectors() -> Batches:
    return Batches(*m.vectors().parts)


def some(make: Any, count: int, accelerator: str, **more: Any) -> list[CalledTraining]:
    settings = {"accelerator": accelerator, "max_epochs": 3, **more}
    return [
        called(experiment(make, vectors, n, **settings, module__lr=0.002 * (n + 1)))
        for n in range(count)
    ]


def came_to(make: Any, accelerator: str, **more: Any) -> Came:
    one, *strangers = some(make, 3, accelerator, **more)
    return on_a_lane(one, strangers, 0)


def assert_equal(mine: Came, its: Came) -> None:
    assert mine.rows == its.rows
    for found, wanted in ((mine.state, its.state), (mine.best, its.best)):
        assert list(found) == list(wanted)
        for key, own in wanted.items():
            assert torch.equal(found[key], own), key


class Keeping(m.Plain):
    """Its loss hangs on what it keeps of earlier steps; two of these change places in each."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.mean: Any = None
        self.pair = [torch.zeros(2), torch.ones(2)]
        self.most = {"loss": torch.zeros(())}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        far = loss.detach() if self.mean is None else 0.9 * self.mean + 0.1 * loss.detach()
        self.mean, self.pair = far, [self.pair[1] + far, self.pair[0]]
        self.most["loss"] = torch.maximum(self.most["loss"], far)
        self.log("train/kept", self.pair[1].sum() + self.most["loss"])
        return loss * far


class Dropping(m.Plain):
    """Draws in its steps, where its numbers are."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return super().training_step((x * (torch.rand_like(x) > 0.3), y), batch_idx)


def test_what_steps_keep_in_attributes_is_kept_by_a_graph(caplog: pytest.LogCaptureFixture) -> None:
    with pretended_gpu() as notes, caplog.at_level("INFO"):
        mine = came_to(Keeping, "auto")
        assert notes.kernels["a graph"] > 20
        assert_equal(mine, came_to(Keeping, "cpu"))
    assert LAUNCHED not in caplog.text


@pytest.mark.parametrize("make", [Dropping, m.VAE])
def test_a_graph_draws_on_where_steps_would_that_are_launched(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretended_gpu() as notes:
        by_graph = came_to(make, "auto")
        assert notes.kernels["a graph"] > 20
        monkeypatch.setattr(Graphs, "_done", lambda self, step: step.launch())
        notes.clear()
        launched = came_to(make, "auto")
        assert notes.kernels["a graph"] == 0
    assert_equal(by_graph, launched)
    assert len({row["train/loss"] for row in by_graph.rows}) == 3


def test_lanes_that_come_and_go_bring_graphs_of_their_own_and_take_them_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graphs: WeakSet[Graph] = WeakSet()

    class Noted(Graph):
        def __init__(self) -> None:
            super().__init__()
            graphs.add(self)

    def lived(accelerator: str) -> list[list[dict[str, Any]]]:
        trainings = [
            called(experiment(m.Plain, vectors, n, accelerator=accelerator, max_epochs=2 + n))
            for n in range(3)
        ]
        stack = CalledStack(trainings, 2)
        stack.admit(trainings[0], 0)
        stack.admit(trainings[1], 1)
        waiting, counts = trainings[2:], []
        while any(one is not None for one in stack.trainings):
            for ended in stack.tick():
                assert ended.error is None
                if ended.over:
                    stack.release(ended.lane)
                    if waiting:
                        stack.admit(waiting.pop(), ended.lane)
            counts.append(len(graphs))
        if (
            accelerator == "auto"
        ):  # a training step's, an optimizer's and a validation's, of one bank
            assert set(counts) == {3}
            stack._banks = []
            assert not graphs  # at once: nothing waits for Python to look for what is not used
        return [one.rows for one in trainings]

    with pretended_gpu(), caplog.at_level("INFO"):
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Noted)
        assert lived("auto") == lived("cpu")
    assert LAUNCHED not in caplog.text


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int]]:
    """Of each step of a training: launches, those of them that are graphs, copies from the host, waits."""
    found: list[tuple[int, int, int, int]] = []
    train = Bank.train

    def counted(self: Bank, *arguments: Any) -> None:
        notes = graph_notes()
        train(self, *arguments)
        found.append(tuple(now - then for now, then in zip(graph_notes(), notes, strict=True)))  # type: ignore[arg-type]

    monkeypatch.setattr(Bank, "train", counted)
    return found


def graph_notes() -> tuple[int, int, int, int]:
    kernels = NOTES.kernels
    return kernels.total(), kernels["a graph"], NOTES.copies.total(), NOTES.waits.total()


@pytest.mark.parametrize("lanes", [2, 5])
def test_a_step_is_nine_launches_and_an_epochs_first_is_held_against_its_graphs(
    lanes: int, launches: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretended_gpu():
        one, *others = some(m.Plain, lanes, "auto", max_epochs=4)
        on_a_lane(one, others, 0)
        by_graph = launches[-6:]
        monkeypatch.setattr(Graphs, "_done", lambda self, step: step.launch())
        one, *others = some(m.Plain, lanes, "auto", max_epochs=4)
        on_a_lane(one, others, 0)
    (_, graphs, _, waits), *steps, (last, *_) = by_graph
    assert (graphs, waits) == (2, 2)
    # Two parts of the batch, an optimizer's numbers, two graphs, copies of the loss and of what was
    # logged, and a sum of two launches over the epoch.
    assert steps == [(9, 2, 0, 0)] * 4
    assert [one[0] for one in launches[-6:]] == [69, 68, 68, 68, 68, 68]
    assert last == 57  # a batch of another size: the optimizers' step alone is a graph


class ReadsIndex(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * 2 if batch_idx % 2 else loss


class ReadsIndexAndCatches(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        try:
            return loss * (1 + batch_idx)
        except Exception:
            return loss


class ReadsStep(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1 + 0.1 * self.global_step)


class ReadsEpoch(m.Plain):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("val/epoch", float(self.trainer.current_epoch))


class LogsEpoch(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.log("train/epoch", self.current_epoch)
        return super().training_step(batch, batch_idx)


class Counts(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.steps = getattr(self, "steps", 0) + 1
        return super().training_step(batch, batch_idx) / self.steps


class DrawsByPython(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * random.random()


class DrawsByNumpy(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * float(np.random.beta(1, 1))


WHERE = {"is": "cpu"}


class MakesTensor(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * torch.tensor([0.5], device=WHERE["is"]).sum()


class Freezes(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        norm: Any = self.net[1]
        norm.train(not norm.training)
        return super().training_step(batch, batch_idx)


class Prints(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        print("a step")
        return super().training_step(batch, batch_idx)


NOT_RECORDED: dict[Any, str] = {
    ReadsIndex: "training_step reads batch_idx",
    ReadsIndexAndCatches: "training_step reads batch_idx",
    ReadsStep: "training_step reads trainer.global_step",
    ReadsEpoch: "validation_step reads trainer.current_epoch",
    LogsEpoch: "training_step reads trainer.current_epoch",
    Counts: "training_step reads self.steps",
    m.Outputs: "validation_step changes self.outputs, which is no tensor of one shape",
    MakesTensor: "RuntimeError: called a synchronizing CUDA operation (a copy from the host)",
    Freezes: "training_step puts modules into another mode",
    Prints: ": it calls print",
}


@pytest.mark.parametrize("make", NOT_RECORDED, ids=lambda make: make.__name__)
def test_a_step_that_is_no_graph_is_launched_and_one_line_says_why(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pretended_gpu() as notes, caplog.at_level("INFO"):
        monkeypatch.setitem(WHERE, "is", "cuda")
        mine = came_to(make, "auto")
        monkeypatch.setitem(WHERE, "is", "cpu")
        assert notes.kernels["a graph"] > 0  # of the optimizers', and of the other step
        assert_equal(mine, came_to(make, "cpu"))
    (line,) = [own for own in caplog.messages if LAUNCHED in own]
    assert line.startswith(LAUNCHED)
    assert NOT_RECORDED[make] in line


@pytest.mark.parametrize("make", [DrawsByPython, DrawsByNumpy], ids=lambda make: make.__name__)
def test_a_step_that_draws_on_the_host_is_launched_and_draws_what_it_would_have_drawn(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def seeded() -> Came:
        random.seed(1)
        np.random.seed(1)
        return came_to(make, "auto")

    with pretended_gpu(), caplog.at_level("INFO"):
        mine = seeded()
        assert caplog.messages.count(f"{LAUNCHED}training_step draws on the host") == 1
        monkeypatch.setattr(Graphs, "_done", lambda self, step: step.launch())
        assert_equal(mine, seeded())


FAR = [1.0]


class GoesAnotherWay(m.Plain):
    """By what is no attribute of it."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * FAR[0]

    def on_train_epoch_start(self) -> None:
        FAR[0] = 3.0 if self.current_epoch == 1 else 1.0


class LogsAnotherNumber(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.log("train/far", FAR[0], on_epoch=True)
        return super().training_step(batch, batch_idx)

    on_train_epoch_start = GoesAnotherWay.on_train_epoch_start


class ComesToDraw(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        if FAR[0] > 1:
            random.random()
        return loss

    on_train_epoch_start = GoesAnotherWay.on_train_epoch_start


@pytest.mark.parametrize(("make", "why"), [
    (GoesAnotherWay, "training_step comes 0.67 away from what it comes to one by one"),
    (LogsAnotherNumber, "training_step logs other things than it did when it was recorded"),
    (ComesToDraw, "training_step draws on the host"),
], ids=lambda own: getattr(own, "__name__", ""))  # fmt: skip
def test_a_step_that_goes_another_way_in_a_later_epoch_goes_on_without_its_graph(
    make: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pretended_gpu(), caplog.at_level("INFO"):
        mine = came_to(make, "auto")
        assert_equal(mine, came_to(make, "cpu"))
    assert [own for own in caplog.messages if LAUNCHED in own] == [LAUNCHED + why]


def test_a_graph_that_comes_elsewhere_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = graph.recorded

    def elsewhere(launch: Callable[[], Any], changed: Any = ()) -> Any:
        replay, found = recorded(launch, changed)

        def replayed() -> None:
            replay()
            changed[0].mul_(1.2)  # gradients, rows, and of a validation running means

        return replayed, found

    monkeypatch.setattr(graph, "recorded", elsewhere)
    with pretended_gpu(), caplog.at_level("INFO"):
        mine = came_to(m.Plain, "auto")
        assert_equal(mine, came_to(m.Plain, "cpu"))
    said = [own for own in caplog.messages if LAUNCHED in own]
    assert len(said) == 3
    assert said[0] == LAUNCHED + "training_step comes 0.2 away from what it comes to one by one"


def test_a_full_gpu_is_no_recording(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(launch: Callable[[], Any], changed: Any = ()) -> Any:
        raise torch.OutOfMemoryError("the device is full")

    monkeypatch.setattr(graph, "recorded", full)
    with pretended_gpu(), caplog.at_level("INFO"):
        mine = came_to(m.Plain, "auto")
        assert_equal(mine, came_to(m.Plain, "cpu"))
    said = [own for own in caplog.messages if LAUNCHED in own]
    assert len(said) == 3  # of two steps of the module, and of the optimizers'
    assert all(own.endswith("OutOfMemoryError: the device is full") for own in said)


def test_a_lost_gpu_is_no_step_that_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(graph, "recorded", lost)
    with pretended_gpu():
        monkeypatch.setattr(torch.cuda, "synchronize", lost)
        (one,) = some(m.Plain, 1, "auto")
        stack = CalledStack([one], 1)
        stack.admit(one)
        with pytest.raises(Exception, match="illegal memory access"):
            stack.tick()


class Counting(m.Plain):
    """Means as they are often kept: the sum on the device, the count in Python."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.total, self.kept = Mean(), {"seen": 0, "mean": Mean()}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.total.add(loss.detach(), 1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.kept["seen"] += len(batch[0])
        self.kept["mean"].add(self.loss(batch), len(batch[0]))

    def on_train_epoch_end(self) -> None:
        self.log_dict({"train/mean": self.total.take(), "seen": float(self.kept["seen"])})
        self.log("val/mean", self.kept["mean"].take())


def test_what_steps_count_in_python_is_counted_on(
    launches: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with pretended_gpu(), caplog.at_level("INFO"):
        mine = came_to(Counting, "auto")
        by_graph = launches[-6:]
        assert_equal(mine, came_to(Counting, "cpu"))
    assert LAUNCHED not in caplog.text
    assert [own["seen"] for own in mine.rows] == ["16.0", "32.0", "48.0"]
    # The sum begins as a number of Python's, so that an epoch's second step is held against its graph.
    assert [graphs for _, graphs, _, _ in by_graph] == [1, 2, 2, 2, 2, 1]


USES: list[Callable[[Any], Any]] = [
    bool, int, float, str, repr, hash, abs, len, iter, lambda i: i + 1, lambda i: 1 - i, lambda i: i % 2,
    lambda i: i == 0, lambda i: i != 0, lambda i: i < 3, lambda i: f"{i:03}", lambda i: [1, 2][i],
    lambda i: {}.get(i), lambda i: i in [1], lambda i: range(i), lambda i: i.bit_length(),
    lambda i: isinstance(i, int), lambda i: torch.zeros(2) * i, lambda i: i * torch.zeros(2),
    lambda i: torch.full((2,), i), lambda i: torch.tensor(i), lambda i: torch.zeros(3)[i], lambda i: i[0],
]  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_whoever_looks_at_what_is_not_told_is_noted(use: Callable[[Any], Any]) -> None:
    trainer: Any = object.__new__(LaneTrainer)
    vars(trainer).update(current_epoch=3, global_step=4)
    for found in (lambda index: index, lambda index: trainer.current_epoch):
        with (
            pytest.raises(UntoldError, match=r"a_step reads (batch_idx|trainer\.current_epoch)"),
            untold(trainer, "a_step", ()) as (index, _),
        ):
            use(found(index))
    assert (trainer.current_epoch, trainer.global_step) == (3, 4)


def test_what_is_not_told_may_be_passed_on_and_what_differs_is_told() -> None:
    trainer: Any = object.__new__(LaneTrainer)
    there = torch.tensor([3, 4])
    vars(trainer).update(current_epoch=there, global_step=4)

    class Module(nn.Module):
        def forward(self, x: Tensor, index: Any) -> Tensor:
            return x

    with untold(trainer, "a_step", ["current_epoch"]) as (index, _):
        assert torch.equal(Module()(there, index), there)
        assert trainer.current_epoch is there
        held = {"index": (index, trainer.global_step)}
        del held
