"""Batches of many lanes: those that are drawn alike are drawn once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from caviar.engines.called.feeds import Feed, stacked_batches

DATA = TensorDataset(torch.arange(20.0))


def shuffled() -> DataLoader[Any]:
    return DataLoader(DATA, 4, shuffle=True)


def by_a_generator() -> DataLoader[Any]:
    return DataLoader(DATA, 4, shuffle=True, generator=torch.Generator().manual_seed(5))


def replaced() -> DataLoader[Any]:
    return DataLoader(DATA, 4, sampler=RandomSampler(DATA, replacement=True, num_samples=12))


def fewer() -> DataLoader[Any]:
    return DataLoader(DATA, 4, sampler=RandomSampler(DATA, num_samples=12))


def feed(make: Callable[[], DataLoader[Any]], seed: int) -> Feed:
    return Feed(make(), 1.0, seed, torch.float32)


@pytest.mark.parametrize("make", [shuffled, by_a_generator, replaced, fewer])
def test_lanes_that_are_read_together_see_what_each_would_alone(
    make: Callable[[], DataLoader[Any]],
) -> None:
    at = [(7, 0), (7, 0), (7, 1), (8, 0)]
    feeds, epochs = [feed(make, seed) for seed, _ in at], [epoch for _, epoch in at]
    together = list(stacked_batches(feeds, epochs))
    for lane, (seed, epoch) in enumerate(at):
        alone = list(stacked_batches([feed(make, seed)], [epoch]))
        for (batch, shared), (own, _) in zip(together, alone, strict=True):
            assert torch.equal(batch[0] if shared else batch[0][lane], own[0])


def test_an_order_that_lanes_have_alike_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    iterate = RandomSampler.__iter__
    monkeypatch.setattr(RandomSampler, "__iter__", lambda self: (drawn.append(1), iterate(self))[1])
    list(stacked_batches([feed(shuffled, seed) for seed in (7, 7, 7, 8)], [0, 0, 1, 0]))
    assert len(drawn) == 3
