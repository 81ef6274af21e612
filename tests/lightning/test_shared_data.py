"""Trainings of a process that describe their data alike read it once, and share nothing but its numbers."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import nn

from caviar.lightning import shared_data
from caviar.lightning.shared_data import shared, sharing_data

pytestmark = pytest.mark.fast


class Counted(LightningDataModule):
    """Counts how often it is read."""

    read: ClassVar[list[str]] = []

    def __init__(self, spoil: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.spoil = spoil
        self.seen: list[int] = []

    def setup(self, stage: str | None = None) -> None:
        self.read.append(str(stage))
        self.x, self.array = torch.arange(6.0), np.arange(6.0)
        if self.spoil is not None:
            self.spoil(self)


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_data, "_kept", {})
    monkeypatch.setattr(Counted, "read", [])


def two(spoil: Any = None, seeds: tuple[int, int] = (0, 0)) -> list[Any]:
    """What two trainings get, each set up as a lane does it."""
    found = []
    for seed in seeds:
        with sharing_data():
            data = shared({"a": 1}, seed, lambda: Counted(spoil))
        data.prepare_data()
        data.setup("fit")
        found.append(data)
    return found


def test_it_is_read_once_and_its_numbers_are_held_once() -> None:
    one, other = two()
    assert Counted.read == ["fit"]
    assert one.x is other.x
    assert one.array is other.array
    assert torch.equal(one.x, torch.arange(6.0))


def test_what_a_training_changes_of_its_data_is_its_own() -> None:
    one, other = two()
    one.seen.append(3)
    one.x = torch.zeros(1)
    assert one is not other
    assert other.seen == []
    assert len(other.x) == 6


def test_another_stage_is_set_up_as_ever() -> None:
    one, _ = two()
    one.setup("test")
    assert Counted.read == ["fit", "test"]


def test_other_seeds_and_settings_have_data_of_their_own() -> None:
    one, other = two(seeds=(0, 1))
    assert one.x is not other.x
    with sharing_data():
        third = shared({"a": 2}, 0, Counted)
    assert third.x is not one.x


def test_outside_of_lanes_nothing_is_shared() -> None:
    one, other = (shared({}, 0, Counted) for _ in range(2))
    assert one is not other
    assert Counted.read == []


def _draws(data: Any) -> None:
    data.order = torch.randperm(4)


def _draws_by_numpy(data: Any) -> None:
    data.order = np.random.permutation(4)


def _has_a_network(data: Any) -> None:
    data.encoder = nn.BatchNorm1d(2)


def _learns(data: Any) -> None:
    data.w = nn.Parameter(torch.zeros(2))


def _asks_for_its_trainer(data: Any) -> None:
    data.rank = data.trainer.global_rank if data.trainer is None else 0


def _has_a_function(data: Any) -> None:
    data.collate = lambda batch: batch


@pytest.mark.parametrize(
    "spoil",
    [_draws, _draws_by_numpy, _has_a_network, _learns, _has_a_function],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_data_that_each_must_have_for_itself_are_not_shared(spoil: Any) -> None:
    one, other = two(spoil)
    assert one.x is not other.x
    assert len(Counted.read) == 3  # the first was tried


def test_data_that_ask_for_their_trainer_are_set_up_by_each_lane() -> None:
    with sharing_data():
        data = shared({}, 0, lambda: Counted(_asks_for_its_trainer))
    with pytest.raises(AttributeError):
        data.setup("fit")
    data.trainer = object()
    data.setup("fit")
    assert data.rank == 0


@pytest.mark.parametrize("name", ["x", "array"])
def test_data_whose_numbers_somebody_writes_into_are_shared_no_more(name: str) -> None:
    one, other = two()
    getattr(one, name)[2] = 7
    with sharing_data():
        third = shared({"a": 1}, 0, Counted)
    third.setup("fit")
    assert getattr(third, name)[2] == 2
    assert getattr(other, name)[2] == 7
