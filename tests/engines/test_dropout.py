"""Dropout's masks are a function of seed, epoch, step and layer, by whatever they are drawn."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import caviar
from caviar.engines.dropout import Place, begin, end, never_compiled
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.philox import blocks_of, drawn, drawn_by_torch, signed
from caviar.engines.stacked.compiling import why_not_compiled
from tests.engines.lanes import training
from tests.pretended_gpu import GPU, OnGpu, pretended_gpu

WORDS = st.integers(0, 2**64 - 1)


@given(
    seeds=st.lists(WORDS, min_size=1, max_size=3),
    epoch=st.integers(0, 2**40),
    layer=st.integers(0, 5),
    start=st.integers(0, 2**31),
    rows=st.integers(1, 5),
    units=st.integers(1, 40),
)
def test_torch_draws_what_numpy_draws_for_lanes_of_any_width(
    seeds: list[int], epoch: int, layer: int, start: int, rows: int, units: int
) -> None:
    widths = [max(1, units - 7 * lane) for lane in range(len(seeds))]
    keys = torch.tensor([[signed(seed) for seed in seeds], [epoch + n for n in range(len(seeds))]])
    steps = range(start, start + 2)
    found = drawn_by_torch(keys, blocks_of(torch.tensor(widths)), layer, steps, rows, units)
    assert found.shape == (2, len(seeds), rows, units)
    for lane, (seed, width) in enumerate(zip(seeds, widths, strict=True)):
        alone = drawn(seed, epoch + lane, layer, steps, rows, width)
        assert torch.equal(found[:, lane, :, :width], alone)


def test_bits_are_numpys_own_and_hang_on_their_place_alone() -> None:
    import numpy as np

    numbers = np.random.Philox(key=[3, 5], counter=[7 << 32, 2, 0, 0]).random_raw(8)
    first = drawn(3, 5, 2, range(7, 8), 2, 16)
    assert np.array_equal(first.numpy().view(np.uint64).ravel(), numbers)
    assert torch.equal(drawn(3, 5, 2, range(9), 2, 16)[7:8], first)
    assert torch.equal(drawn(3, 5, 2, range(7, 8), 1, 16), first[:, :1])
    others = [drawn(4, 5, 2, range(7, 8), 2, 16), drawn(3, 6, 2, range(7, 8), 2, 16),
              drawn(3, 5, 1, range(7, 8), 2, 16), drawn(3, 5, 2, range(8, 9), 2, 16),
              drawn(3, 5, 2, range(7, 8), 2, 16, call=1),
              drawn(3, 5, 2, range(7, 8), 2, 16, process=1)]  # fmt: skip
    assert not any(torch.equal(other, first) for other in others)


def test_so_many_are_dropped_as_was_asked_for_and_the_others_scaled_up() -> None:
    layer = caviar.Dropout(0.3)
    begin(layer, Place(seed=1))
    found = layer(torch.ones(400, 500))
    kept = found != 0
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.005)
    assert torch.allclose(found[kept], torch.tensor(1 / 0.7))
    assert float(kept.float().mean(0).std()) < 0.04  # no unit is favoured, no row either
    assert float(kept.float().mean(1).std()) < 0.04
    assert torch.equal(layer.eval()(found), found)


def test_a_second_pass_in_a_step_has_another_mask_and_a_second_try_of_the_step_the_same() -> None:
    layer, x = caviar.Dropout(0.5), torch.ones(8, 64)
    place = Place(seed=1)
    begin(layer, place)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    place.at(0, 1)
    assert not torch.equal(layer(x), first)
    for _ in range(2):
        place.at(0, 0)
        assert torch.equal(layer(x), first)
        assert torch.equal(layer(x), second)


def test_each_layer_of_a_network_has_masks_of_its_own() -> None:
    network = nn.Sequential(caviar.Dropout(), nn.Dropout(0.0), caviar.Dropout())
    begin(network, Place(seed=1))
    x = torch.ones(8, 64)
    first, last = network[0](x), network[2](x)
    assert not torch.equal(first, last)
    assert torch.equal(last / 2, (drawn(1, 0, 2, range(1), 8, 64)[0] >= 0).float())


def test_without_a_place_it_is_torchs_own() -> None:
    x = torch.ones(20, 30)
    found = []
    for layer in (nn.Dropout(0.4), caviar.Dropout(0.4)):
        torch.manual_seed(5)
        found.append(layer(x))
    begin(layer, Place(seed=1))
    assert not torch.equal(layer(x), found[0])
    end(layer)
    torch.manual_seed(5)
    assert torch.equal(layer(x), found[0])
    assert torch.equal(*found)
    assert not layer.state_dict()


def test_gradients_go_where_the_mask_lets_them() -> None:
    layer, x = caviar.Dropout(0.5), torch.ones(4, 16, requires_grad=True)
    begin(layer, Place(seed=1))
    out = layer(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())
    inplace = caviar.Dropout(0.5, inplace=True)
    begin(inplace, Place(seed=1))
    mine = torch.ones(4, 16)
    assert inplace(mine) is mine
    assert torch.equal(mine, out.detach())


def test_a_gpu_drops_what_the_cpu_drops() -> None:
    layer = caviar.Dropout(0.5)
    begin(layer, Place(seed=1))
    x = torch.ones(8, 64)
    wanted = layer(x)
    with pretended_gpu() as notes:
        begin(layer, Place(seed=1))
        found = layer(x.to(GPU))
        assert not notes.waits
    assert isinstance(found, OnGpu)
    assert torch.equal(found.inner, wanted)


@pytest.mark.skipif(why_not_compiled("cpu") is not None, reason=str(why_not_compiled("cpu")))
@pytest.mark.filterwarnings("ignore")  # torch's own, from its compiler
def test_a_compiled_network_drops_the_same_and_is_compiled_once() -> None:
    from torch._dynamo.testing import CompileCounter

    network: Any = nn.Sequential(nn.Linear(4, 8), caviar.Dropout(0.5), nn.Linear(8, 2))
    place, x = Place(seed=1), torch.randn(6, 4)

    def steps() -> list[torch.Tensor]:
        begin(network, place)
        found = []
        for step in range(4):
            place.at(0, step)
            found.append(network(x).detach())
        return found

    wanted = steps()
    never_compiled(network)
    counter = CompileCounter()
    network.compile(backend=counter)
    found = steps()
    assert all(map(torch.allclose, found, wanted))
    assert 0 < counter.frame_count <= 3


def test_a_lane_goes_on_with_the_masks_that_it_would_have_had() -> None:
    def one() -> Training:
        return training("model.dropout=0.4", "trainer.max_epochs=3")

    straight, first, second = Stack([one()], 1), Stack([one()], 1), Stack([one()], 2)
    straight.admit(one())
    first.admit(one())
    for stack in (straight, first):
        stack.tick()
    saved = first.save(0)
    for _ in range(2):
        straight.tick()
    second.admit(one(), 1)
    second.load(1, saved)
    for _ in range(2):
        second.tick()
    found, wanted = second.last_weights(1), straight.last_weights(0)
    assert all(torch.equal(found[name], own) for name, own in wanted.items())
