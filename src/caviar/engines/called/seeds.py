"""Random numbers of one lane, that leave no trace on those of another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def derived(*parts: int) -> int:
    """A seed made of several numbers: the one that a Trainer's epoch begins with."""
    return int(np.random.SeedSequence([part % 2**32 for part in parts]).generate_state(1)[0])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, numpy and random for the block, and give back their former states after it."""
    states = np.random.get_state(), random.getstate()
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        with drawing(Draws(seed)):
            yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])


class Draws:
    """A place in the sequence of torch's random numbers.

    Args:
        seed: where the sequence begins.
    """

    def __init__(self, seed: int) -> None:
        self.state: Tensor = torch.Generator().manual_seed(seed).get_state()


@contextmanager
def drawing(draws: Draws) -> Iterator[None]:
    """Draw from there on in the block, and from where it ends next time."""
    before = torch.get_rng_state()
    torch.set_rng_state(draws.state)
    try:
        yield
        draws.state = torch.get_rng_state()
    finally:
        torch.set_rng_state(before)
