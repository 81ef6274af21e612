"""A stack of networks computes what each of them computes, and gives each back as it was."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from caviar.engines.experiment import NotFusibleError
from caviar.engines.stacked.layers import ELEMENTWISE
from caviar.engines.stacked.parameters import Stacked
from caviar.engines.stacked.plan import plan_of
from project.choices import ACTIVATIONS, BATCH_NORM
from project.models.mlp import MLP


class Residual(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size), nn.GELU())
        self.head = nn.Linear(size, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.relu(x + self.inner(x)))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.mix(self.table(x)), 1))


def randomised(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return network.double()


def logits(stacked: Stacked, x: Tensor, training: bool = False) -> Tensor:
    return stacked.plan.forward(stacked.state(training), x)


mlps = st.builds(
    MLP,
    in_features=st.just(5),
    num_classes=st.just(3),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    activation=st.sampled_from(list(ACTIVATIONS)),
    batch_norm=st.sampled_from(BATCH_NORM),
    dropout=st.sampled_from([0.0, 0.3]),
)


def stack(networks: Sequence[nn.Module]) -> Stacked:
    """Networks of one kind as one."""
    plans = [plan_of(network) for network in networks]
    stacked = Stacked(plans, len(networks), next(iter(networks[0].parameters())).dtype)
    for lane, (network, plan) in enumerate(zip(networks, plans, strict=True)):
        stacked.put(lane, plan, network.state_dict())
    return stacked


@given(network=mlps, lanes=st.integers(1, 4), seed=st.integers(0, 999))
def test_a_network_comes_back_from_a_stack_exactly_as_it_went_in(
    network: MLP, lanes: int, seed: int
) -> None:
    import copy

    networks = [randomised(copy.deepcopy(network), seed + lane) for lane in range(lanes)]
    stacked = stack(networks)
    for lane, original in enumerate(networks):
        back = stacked.take(lane, plan_of(networks[0]))
        for name, tensor in original.state_dict().items():
            assert torch.equal(back[name], tensor), name


@given(network=mlps, seed=st.integers(0, 999), training=st.booleans())
def test_a_lane_gives_the_logits_and_the_statistics_of_its_network(
    network: MLP, seed: int, training: bool
) -> None:
    import copy

    networks = [randomised(copy.deepcopy(network), seed + lane) for lane in range(3)]
    for one in networks:
        for layer in one.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        one.train(training)
    stacked = stack(networks)
    x = torch.randn(3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    bits = {name: torch.zeros((), dtype=torch.int16) for name in stacked.plan.dropouts}
    found = stacked.plan.forward(stacked.state(training, bits), x)
    for lane, one in enumerate(networks):
        torch.testing.assert_close(found[lane], one(x[lane]), rtol=1e-10, atol=1e-10)
        for name, tensor in stacked.take(lane, plan_of_exact(one)).items():
            if "running" in name:
                torch.testing.assert_close(tensor, one.state_dict()[name], rtol=1e-10, atol=1e-10)


def plan_of_exact(network: nn.Module):  # type: ignore[no-untyped-def]
    from caviar.engines.stacked.plan import plan_of

    return plan_of(network)


def test_networks_of_different_widths_share_a_stack() -> None:
    networks = [
        randomised(MLP(5, 3, hidden=[width, width + 1]), width).eval() for width in (17, 20, 30)
    ]
    stacked = stack(networks)
    assert stacked.parameters["layers.1.weight"].shape == (3, 32, 5)
    x = torch.randn(4, 5, dtype=torch.float64)
    for lane, network in enumerate(networks):
        torch.testing.assert_close(logits(stacked, x.expand(3, 4, 5))[lane], network(x))


@pytest.mark.parametrize("layer", ELEMENTWISE)
def test_every_activation_computes_a_stack_as_it_computes_a_batch(layer: type[nn.Module]) -> None:
    networks = [randomised(nn.Sequential(nn.Linear(4, 3), layer()), seed) for seed in range(2)]
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    found = logits(stack(networks), x)
    for lane, network in enumerate(networks):
        torch.testing.assert_close(found[lane], network(x[lane]))


def test_a_residual_network_with_layer_norm_can_be_stacked() -> None:
    networks = [randomised(Residual(6), seed) for seed in range(3)]
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    found = logits(stack(networks), x)
    for lane, network in enumerate(networks):
        torch.testing.assert_close(found[lane], network(x[lane]))


def test_an_embedding_has_a_table_a_lane() -> None:
    networks = [randomised(Words(), seed) for seed in range(3)]
    x = torch.randint(0, 7, (3, 5, 3))
    found = logits(stack(networks), x)
    for lane, network in enumerate(networks):
        torch.testing.assert_close(found[lane], network(x[lane]))


class Squares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.norm(self.layer(x))


class Branches(Squares):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)), "the layer 1 is a Softmax"),
        (nn.Sequential(nn.BatchNorm1d(2, momentum=None)), "the layer 0 is a BatchNorm1d without"),
        (nn.Sequential(nn.GRU(2, 2)), "the layer 0 is a GRU"),
        (Squares(), "linalg_norm"),
        (Branches(), "Branches.forward cannot be traced"),
    ],
)
def test_what_cannot_be_stacked_is_named(network: nn.Module, message: str) -> None:
    with pytest.raises(NotFusibleError, match=message):
        stack([network])


def test_networks_of_two_kinds_have_two_keys() -> None:
    relu, tanh = (nn.Sequential(nn.Linear(2, 2), kind()) for kind in (nn.ReLU, nn.Tanh))
    assert plan_of(relu).key != plan_of(tanh).key
