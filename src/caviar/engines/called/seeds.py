"""Random numbers that follow from the seed alone, and leave no trace on those of anybody else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def derived(*parts: int) -> int:
    """A seed made of several numbers, so that (seed, epoch) pairs do not share a stream."""
    return int(np.random.SeedSequence([part % 2**32 for part in parts]).generate_state(1)[0])


def seed_torch(seed: int, gpu: bool = True) -> None:
    """Seed torch's generators; without ``gpu``, or where there is none, the CPU's alone.

    Of a seed for a GPU that nobody has used yet torch notes where it came from, which takes a millisecond.
    """
    if gpu and (torch.cuda.is_available() or torch.accelerator.is_available()):
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int, gpu: bool = True) -> Iterator[None]:
    """Seed torch, numpy and random for the block, and give back their former states after it.

    So a hundred runs in one process do not touch one another, nor whoever calls them. A GPU's
    generator is seeded too, but not given back: that would wake up GPUs that nobody uses. Without
    ``gpu`` it is left alone.
    """
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    seed_torch(seed, gpu)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


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
