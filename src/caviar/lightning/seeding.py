"""Random numbers that follow from the seed alone, and leave no trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, gpu: bool = True) -> Iterator[None]:
    """Seed torch, numpy and random for the block, and give back their former states after it.

    So a hundred runs in one process do not touch one another, nor whoever calls them. A GPU's
    generator is seeded too, but not given back: that would wake up GPUs that nobody uses. Without
    ``gpu`` it is left alone: torch takes half a millisecond to note a GPU's seed for later.
    """
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    if gpu:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def derived(*parts: int) -> int:
    """A seed made of several numbers, so that (seed, epoch) pairs do not share a stream."""
    return int(np.random.SeedSequence([part % 2**32 for part in parts]).generate_state(1)[0])
