"""Dropout of many lanes on a CPU: the distribution of torch's, and each lane its own masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from caviar.engines.called.dropping import DROPPING, _kept
from caviar.engines.called.lifting import Instead


def dropped(x: Tensor, p: float, seed: int = 0, shared: bool = False, **more: bool) -> Tensor:
    """Dropout under `vmap` over the first dimension, or of one tensor that 8 lanes share."""
    torch.manual_seed(seed)
    lanes = torch.zeros(8 if shared else len(x))
    own = None if shared else 0
    with torch.random.fork_rng(devices=()), Instead(DROPPING):
        return torch.vmap(
            lambda one, _: functional.dropout(one, p, **more),
            in_dims=(own, 0),
            randomness="different",
        )(x, lanes)


@given(
    p=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_number_is_kept_with_a_chance_of_one_minus_p_and_scaled_up(
    p: float, seed: int, dtype: torch.dtype
) -> None:
    out = dropped(torch.ones(4, 50, 200, dtype=dtype), p, seed)
    kept = out != 0
    assert torch.equal(out[kept], torch.full_like(out[kept], 1 / (1 - p)))
    off = kept.double().mean() - (1 - p)
    assert off.abs() < 5 * (p * (1 - p) / kept.numel()) ** 0.5


@pytest.mark.parametrize("shared", [False, True], ids=["each its own", "one for all"])
def test_each_lane_and_each_call_drops_others(shared: bool) -> None:
    x = torch.ones(300) if shared else torch.ones(8, 300)
    masks = [dropped(x, 0.5, seed, shared=shared) != 0 for seed in (0, 1)]
    rows = torch.cat(masks)
    alike = (rows[:, None] == rows[None]).double().mean(-1)
    assert len(rows) == 16
    assert float((alike - torch.eye(16)).max()) < 0.7  # half of it, were they all by chance


def test_the_same_seed_drops_the_same() -> None:
    x = torch.ones(3, 100)
    assert torch.equal(dropped(x, 0.5, 7), dropped(x, 0.5, 7))


def test_a_gradient_goes_where_a_number_was_kept() -> None:
    x = torch.randn(4, 100, dtype=torch.float64, requires_grad=True)
    out = dropped(x, 0.25)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient == 0, out == 0)
    assert torch.allclose(out, x * gradient)
    assert out.dtype == torch.float64


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_and_all_are_dropped_as_torch_drops_them(p: float) -> None:
    x = torch.randn(4, 100)
    assert torch.equal(dropped(x, p), functional.dropout(x, p))


def test_in_place_and_in_evaluation_it_does_what_torch_does() -> None:
    x = torch.ones(4, 100)
    assert torch.equal(dropped(x, 0.5, training=False), x)
    given = x.clone()
    out = dropped(given, 0.5, inplace=True)
    assert torch.equal(given, out)
    assert (given == 0).any()


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_a_chance_that_is_none_is_refused_as_by_torch(p: float) -> None:
    with pytest.raises(ValueError, match="dropout probability"):
        dropped(torch.ones(2, 3), p)


def test_a_mask_is_laid_out_as_what_it_drops_from() -> None:
    x = torch.randn(5, 4, 6, 3).movedim(1, -1)  # lanes first, and what was second lies last
    assert _kept(torch.zeros(1, dtype=torch.int64), x, 0.5).stride() == x.stride()
    out = dropped(x, 0.5)
    assert out.stride() == x.stride()
    kept = out != 0
    assert torch.equal(out[kept], 2 * x[kept])
    assert 0.3 < kept.double().mean() < 0.7


def test_what_a_step_calls_by_torch_func_itself_is_left_to_torch() -> None:
    def gradient(one: Tensor) -> Tensor:
        return torch.func.grad(lambda x: functional.dropout(x, 0.5).sum())(one)

    torch.manual_seed(0)
    with torch.random.fork_rng(devices=()), Instead(DROPPING):
        found = torch.vmap(gradient, randomness="different")(torch.ones(8, 300))
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(found[0], found[1])


def test_within_a_vmap_of_the_steps_own_what_all_share_is_dropped_by_torch() -> None:
    def step(one: Tensor) -> Tensor:
        own = torch.vmap(
            lambda x: x * functional.dropout(torch.ones(50), 0.5), randomness="different"
        )
        return own(one)

    torch.manual_seed(0)
    with torch.random.fork_rng(devices=()), Instead(DROPPING):
        found = torch.vmap(step, randomness="different")(torch.ones(8, 3))
    assert found.shape == (8, 3, 50)
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert len(found.flatten(0, 1).unique(dim=0)) == 24
