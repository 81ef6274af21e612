"""Lanes that call their module, on a GPU: the very numbers of the CPU, and no wait in a step."""

from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from caviar.engines.called.bank import Bank
from caviar.engines.called.rehearsal import Rehearsal
from caviar.engines.called.training import CalledTraining
from caviar.engines.experiment import NotFusibleError
from caviar.engines.lanes import calibration
from caviar.engines.lanes.calibration import choose
from tests.engines.called import modules as m
from tests.engines.called.compare import Came, called, experiment, on_a_lane
from tests.engines.called.test_modules import CASES, rates
from tests.pretended_gpu import Notes, OnGpu, pretended_gpu


def some(name: str, count: int, accelerator: str, **more: Any) -> list[CalledTraining]:
    make, data, vary, settings = CASES[name]
    own = {**settings, "accelerator": accelerator, "max_epochs": 2, **more}
    return [called(experiment(make, data, n, **{**own, **vary(n)})) for n in range(count)]


def came_to(name: str, accelerator: str) -> Came:
    one, *strangers = some(name, 3, accelerator)
    return on_a_lane(one, strangers, 0)


@pytest.mark.parametrize("name", [
    "numbers that differ between lanes", "a transformer", "torchmetrics in its steps",
    "a frozen backbone and groups", "accumulated and clipped", "by NAdam",
])  # fmt: skip
def test_lanes_on_a_gpu_come_to_the_very_numbers_of_the_cpu(name: str) -> None:
    with pretended_gpu():
        mine, its = (came_to(name, accelerator) for accelerator in ("auto", "cpu"))
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


def test_a_step_waits_for_nothing_and_an_epoch_as_often_on_any_number_of_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, in_steps, found = Bank.train, [], []

    def counted(self: Bank, *arguments: Any) -> None:
        before = notes.waits.total()
        train(self, *arguments)
        in_steps.append(notes.waits.total() - before)

    monkeypatch.setattr(Bank, "train", counted)
    notes: Notes
    for lanes in (2, 5):
        with pretended_gpu() as notes:
            one, *strangers = some("numbers that differ between lanes", lanes, "auto")
            on_a_lane(one, strangers, 0)
            found.append((notes.waits.total(), notes.copies.total()))
    assert set(in_steps) == {0}
    assert found[0] == found[1]


def test_how_they_are_best_run_is_measured_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_CALLED_LANES", (2,))
    monkeypatch.setattr(
        Rehearsal, "solo_step", lambda self: 1.0
    )  # no whole module can be moved here
    with pretended_gpu() as notes:
        (one,) = some("numbers that differ between lanes", 1, "auto")
        notes.clear()
        assert choose(one, None, "cuda").lane_step > 0
        assert any("rehearsal.py" in line for line in notes.waits)


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
