"""Lanes that call their module, by tapes: the numbers of steps that are called, or why they are."""

import logging
import random
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from caviar.engines.called import tapes
from caviar.engines.called.tape import Recorder, Tape
from caviar.engines.called.tapes import Tapes
from tests.engines.called import modules as m
from tests.engines.called.compare import Came, Tensors, called, experiment, on_a_lane

CALLED = "called in each step, not by a tape: "
STEPS = 6
"""Of an epoch; the last one is of another size."""


class Batches(Tensors):
    """Validated in four batches."""

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[1], 4)


def vectors() -> Batches:
    return Batches(*m.vectors().parts)


def came_to(make: Any, epochs: int = 3, data: Any = vectors, **more: Any) -> Came:
    settings = {"max_epochs": epochs, **more}
    one, *strangers = [
        called(experiment(make, data, n, **settings, module__lr=0.002 * (n + 1))) for n in range(3)
    ]
    return on_a_lane(one, strangers, 0)


@pytest.fixture(autouse=True)
def unsaid() -> None:
    tapes._say.cache_clear()


class Calls:
    """Counts steps, and those whose code is called.

    Attributes:
        steps, called: by the step's name.
    """

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.called: Counter[str] = Counter()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    own = Calls()
    call, compared, again = Tapes.call, Tapes._compared, tapes._Taped.again

    def counted_call(self: Tapes, method: str, *rest: Any) -> Any:
        own.steps[method] += 1
        own.called[method] += 1
        return call(self, method, *rest)

    def counted_compared(self: Tapes, step: Any, taped: Any) -> Any:
        own.called[step.method] += 1
        return compared(self, step, taped)

    def counted_again(self: Any, *rest: Any) -> Any:
        own.called["training_step" if self.stepped.loss is not None else "validation_step"] -= 1
        return again(self, *rest)

    monkeypatch.setattr(Tapes, "call", counted_call)
    monkeypatch.setattr(Tapes, "_compared", counted_compared)
    monkeypatch.setattr(tapes._Taped, "again", counted_again)
    return own


def without_tapes(make: Any, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Came:
    with monkeypatch.context() as patched:
        patched.setattr(
            Tapes, "call", lambda self, method, launch, given, shared, buffers: launch(*given)
        )
        return came_to(make, **more)


def assert_equal(mine: Came, its: Came) -> None:
    assert mine.rows == its.rows
    for found, wanted in ((mine.state, its.state), (mine.best, its.best)):
        assert list(found) == list(wanted)
        for key, own in wanted.items():
            assert torch.equal(found[key], own), key


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [own.removeprefix(CALLED) for own in caplog.messages if own.startswith(CALLED)]


class Counting(m.Plain):
    """Counts its steps, and keeps a mean of its losses."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.steps, self.rows, self.total = 0, 0, torch.zeros(())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.steps += 1
        self.rows += len(batch[0])
        self.total = self.total + loss.detach()
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("train/steps", float(self.steps))
        self.log("train/mean", self.total / self.rows)
        self.rows, self.total = 0, torch.zeros(())


class ByEpoch(m.Plain):
    """Its loss hangs on the epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) / (1 + self.trainer.current_epoch)


class InPlace(m.Plain):
    """Changes its batch, and what it keeps, in place."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.mean = torch.zeros(6)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        x.sub_(self.mean)
        return super().training_step((x, y), batch_idx)


class Dropping(m.Plain):
    """With dropout, noise of its own, and a part that takes no part."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.net = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        self.idle = nn.Linear(2, 2)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return super().training_step((x + 0.1 * torch.randn_like(x), y), batch_idx)


TAPED = [m.Plain, m.VAE, m.NoisyLabels, m.Measured, Counting, ByEpoch, InPlace, Dropping]


@pytest.mark.parametrize("make", TAPED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_by_tape_come_to_the_very_numbers_of_steps_that_are_called(
    make: Any, accumulate: int, monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    more = {"accumulate_grad_batches": accumulate, "epochs": 4}
    mine = came_to(make, **more)
    assert_equal(mine, without_tapes(make, monkeypatch, **more))
    assert calls.called["training_step"] < 0.75 * calls.steps["training_step"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_steps_by_tape_are_those_that_are_called_in_any_precision(
    precision: str, monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    more = {"precision": precision, "epochs": 4}
    assert_equal(came_to(Dropping, **more), without_tapes(Dropping, monkeypatch, **more))
    assert calls.called["training_step"] < calls.steps["training_step"]


def test_a_steps_code_is_called_in_an_epochs_first_step_and_where_a_batch_is_of_another_size(
    calls: Calls,
) -> None:
    came_to(m.Plain, epochs=2)
    first = calls.called.copy()
    calls.called.clear()
    came_to(m.Plain, epochs=7)
    each = {name: (calls.called[name] - first[name]) / 5 for name in first}
    assert each == {"training_step": 2, "validation_step": 1}


SEEN: list[Any] = []
SHARED = {"steps": 0}
FAR = [1.0]
STREAM = iter(range(10**6))


class Prints(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        print("a step")
        return super().training_step(batch, batch_idx)


class Logs(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logging.getLogger("own").warning("a step")
        return super().training_step(batch, batch_idx)


class Writes(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with Path("steps.txt").open("a") as file:
            file.write("a step\n")
        return super().training_step(batch, batch_idx)


class Appends(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        SEEN.append(batch_idx)
        return super().training_step(batch, batch_idx)


class CountsOutside(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        SHARED["steps"] += 1
        return super().training_step(batch, batch_idx)


class CountsInItsClass(m.Plain):
    steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        type(self).steps += 1
        return super().training_step(batch, batch_idx)


class CountsInADefault(m.Plain):
    def training_step(self, batch: Any, batch_idx: int, own: Any = {"steps": 0}) -> Tensor:  # noqa: B006
        own["steps"] += 1
        return super().training_step(batch, batch_idx)


def counting() -> Any:
    count = 0

    def counted(value: Any) -> Any:
        nonlocal count
        count += 1
        return value

    return counted


COUNTED = counting()


class CountsInAClosure(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return COUNTED(super().training_step(batch, batch_idx))


class Unreadable:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("nobody reads this")


UNREADABLE = Unreadable()


class NamesWhatCannotBeLookedAt(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1 if UNREADABLE else 2)


class Tracker:
    def __init__(self) -> None:
        self.steps = 0

    def note(self) -> None:
        self.steps += 1


TRACKER = Tracker()


class NotesOutside(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        TRACKER.note()
        return super().training_step(batch, batch_idx)


class TakesTime(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        began = time.perf_counter()
        loss = super().training_step(batch, batch_idx)
        SHARED["seconds"] = time.perf_counter() - began
        return loss


class GoesOn(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1 + next(STREAM) % 3)


class Seeds(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        state = torch.get_rng_state()
        loss = super().training_step(batch, batch_idx) * (1 + torch.rand(()))
        torch.set_rng_state(state)
        return loss


class ByPython(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * random.random()


class ByNumpy(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * float(np.random.beta(1, 1))


class ByIndex(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (0.5 if batch_idx % 2 else 1.0)


class ByStep(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) / (1 + self.global_step)


class BySteps(Counting):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) / (1 + self.steps)


class Turns(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        norm: Any = self.net[1]
        norm.train(not norm.training)
        return super().training_step(batch, batch_idx)


class Names(m.Plain):
    def __init__(self, lr: float = 0.01):
        super().__init__(lr)
        self.last = "a"

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.last = "b" if self.last == "a" else "a"
        return super().training_step(batch, batch_idx) * (2 if self.last == "a" else 1)


NOT_TAPED: dict[Any, str] = {
    Prints: "test_tapes.py: it calls print",
    Logs: "test_tapes.py: it calls time",
    Writes: "test_tapes.py: it calls open",
    Appends: "test_tapes.py: it changes SEEN, which is no part of its module",
    CountsOutside: "test_tapes.py: it changes SHARED, which is no part of its module",
    CountsInItsClass: "test_tapes.py: it changes CountsInItsClass, which is no part of its module",
    CountsInADefault: "test_tapes.py: it changes CountsInADefault, which is no part of its module",
    CountsInAClosure: "test_tapes.py: it changes count of the function around it",
    NamesWhatCannotBeLookedAt: "test_tapes.py: it changes UNREADABLE, which is no part of its module",
    NotesOutside: "test_tapes.py: it changes TRACKER, which is no part of its module",
    TakesTime: "test_tapes.py: it calls perf_counter",
    GoesOn: "test_tapes.py: it names STREAM, which goes on by itself",
    Seeds: "test_tapes.py: it calls set_state",
    ByPython: "training_step draws by other means than torch's",
    ByNumpy: "training_step draws by other means than torch's",
    ByIndex: "training_step reads batch_idx",
    ByStep: "training_step reads trainer.global_step",
    BySteps: "training_step reads self.steps",
    Turns: "training_step puts modules into another mode",
    Names: "training_step changes self.last, which is no tensor of one shape",
}  # fmt: skip


@pytest.mark.parametrize("make", NOT_TAPED, ids=lambda make: make.__name__)
def test_a_step_that_is_no_tape_is_called_and_one_line_says_why(
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    calls: Calls,
) -> None:
    monkeypatch.chdir(tmp_path)

    def seeded(run: Any) -> Came:
        global STREAM
        random.seed(1)
        np.random.seed(1)
        STREAM = iter(range(10**6))
        return run()

    with caplog.at_level("INFO"):
        mine = seeded(lambda: came_to(make))
    assert_equal(mine, seeded(lambda: without_tapes(make, monkeypatch)))
    assert calls.called["training_step"] == calls.steps["training_step"]
    (line,) = said(caplog)
    assert re.sub(r".*(test_tapes\.py):\d+", r"\1", line) == NOT_TAPED[make]


def test_what_a_step_leaves_outside_is_left_by_each_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(run: Any) -> list[Any]:
        SEEN.clear()
        run()
        return [*SEEN]

    mine = left(lambda: came_to(Appends))
    assert mine == left(lambda: without_tapes(Appends, monkeypatch))
    assert mine[-2 * STEPS :] == [*range(STEPS)] * 2


def test_why_a_step_is_no_tape_is_said_once_however_many_kinds_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        came_to(ByIndex)
        came_to(ByIndex)
    assert said(caplog) == ["training_step reads batch_idx"]


def test_what_a_step_prints_is_printed_by_each_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    came_to(Prints)
    mine = capsys.readouterr().out.count("a step\n")
    without_tapes(Prints, monkeypatch)
    assert mine == capsys.readouterr().out.count("a step\n") >= 3 * STEPS


class GoesAnotherWay(m.Plain):
    """By what is no attribute of it."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * FAR[0]

    def on_train_epoch_start(self) -> None:
        FAR[0] = 3.0 if self.current_epoch == 2 else 1.0


class LogsAnotherNumber(GoesAnotherWay):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.log("train/far", FAR[0], on_epoch=True)
        return m.Plain.training_step(self, batch, batch_idx)


class TakesAnotherWay(GoesAnotherWay):
    """By what is an attribute of it."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = m.Plain.training_step(self, batch, batch_idx)
        return loss.sqrt() if self.far else loss

    def on_train_epoch_start(self) -> None:
        self.far = self.current_epoch == 2


@pytest.mark.parametrize("make", [GoesAnotherWay, LogsAnotherNumber, TakesAnotherWay])
def test_a_step_that_goes_another_way_in_a_later_epoch_is_taped_anew(
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    calls: Calls,
) -> None:
    with caplog.at_level("INFO"):
        mine = came_to(make, epochs=5)
    assert not said(caplog)
    assert_equal(mine, without_tapes(make, monkeypatch, epochs=5))
    assert calls.called["training_step"] < 0.75 * calls.steps["training_step"]


class ComesToPrint(GoesAnotherWay):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if FAR[0] > 1:
            print("a step")
        return m.Plain.training_step(self, batch, batch_idx)


class ComesToPrintByItself(TakesAnotherWay):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.far:
            print("a step")
        return m.Plain.training_step(self, batch, batch_idx)


@pytest.mark.parametrize("make", [ComesToPrint, ComesToPrintByItself])
def test_a_step_that_comes_to_print_in_a_later_epoch_prints_in_each_of_its_steps(
    make: Any, capsys: pytest.CaptureFixture[str], calls: Calls
) -> None:
    came_to(make, epochs=5)
    assert calls.called["training_step"] < calls.steps["training_step"]
    assert capsys.readouterr().out.count("a step\n") == STEPS


def test_a_tape_that_comes_to_other_numbers_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Off(Recorder):
        def tape(self, results: Any) -> Tape:
            own = super().tape(results)
            stays = [one * 1.5 if isinstance(one, float) else one for one in own.stays]
            return replace(own, stays=tuple(stays))

    with caplog.at_level("INFO"), monkeypatch.context() as patched:
        patched.setattr(tapes, "Recorder", Off)
        mine = came_to(Dropping)
    assert "training_step comes to other numbers by its tape" in said(caplog)
    assert_equal(mine, without_tapes(Dropping, monkeypatch))


def test_a_tape_that_fails_where_its_step_does_not_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Recorder):
        def tape(self, results: Any) -> Tape:
            return replace(super().tape(results), text="def run(v, c):\n  return nowhere")

    with caplog.at_level("INFO"), monkeypatch.context() as patched:
        patched.setattr(tapes, "Recorder", Broken)
        mine = came_to(Dropping)
    assert "training_step comes to other numbers by its tape" in said(caplog)
    assert_equal(mine, without_tapes(Dropping, monkeypatch))


class Fails(m.Plain):
    """Meets a label that there is not, in its fourth batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)


def unknown_labels() -> Batches:
    x, y = m.vectors().parts[0].tensors
    y = y.clone()
    y[-12:] = 7

    class InOrder(Batches):
        def train_dataloader(self) -> DataLoader[Any]:
            return DataLoader(self.parts[0], 8)

    return InOrder(TensorDataset(x, y), m.vectors().parts[1])


def test_an_error_of_a_tape_is_that_of_the_step() -> None:
    with pytest.raises(Exception, match=r"test_tapes.py:\d+: .*out of bounds"):
        came_to(Fails, data=unknown_labels)


def test_lanes_that_come_and_go_have_their_own_tapes(
    monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    def run() -> list[Came]:
        made = [
            called(experiment(Counting, vectors, n, max_epochs=2 + 2 * n, module__lr=0.01))
            for n in range(3)
        ]
        return [on_a_lane(made[2], made[:2], 1)]

    mine = run()
    with monkeypatch.context() as patched:
        patched.setattr(
            Tapes, "call", lambda self, method, launch, given, shared, buffers: launch(*given)
        )
        (its,) = run()
    assert_equal(mine[0], its)
    assert calls.called["training_step"] < 0.75 * calls.steps["training_step"]
