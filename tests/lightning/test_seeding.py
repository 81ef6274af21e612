"""Seeds for a block: what is drawn in it, and what is left of it."""

import random

import numpy as np
import pytest
import torch

from caviar.lightning.seeding import seed_torch, seeded

pytestmark = pytest.mark.fast


def test_a_block_draws_what_its_seed_says_and_leaves_no_trace() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with seeded(5):
        assert torch.equal(torch.rand(3), wanted)
        random.random()
        np.random.rand()
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("gpu", [False, True])
def test_what_is_drawn_after_a_seed_is_what_is_drawn_after_torchs_own(gpu: bool) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    seed_torch(7, gpu)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.initial_seed() == 7
