"""A lane begins with the weights that solo begins with, and what cannot be a lane is known at once."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from caviar.engines.experiment import NotFusibleError, Recipe
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.native.loop import Native
from caviar.engines.stacked import layers, networks
from caviar.engines.stacked.networks import plan_and_weights
from caviar.engines.stacked.parameters import Stacked
from project.choices import ACTIVATIONS, BATCH_NORM
from tests.engines.lanes import training


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_models", {})


def assert_as_made_anew(recipe: Recipe) -> None:
    plan, weights = plan_and_weights(recipe)
    made = recipe.network().state_dict()
    assert list(weights) == list(made) == list(plan.shapes)
    assert all(torch.equal(weights[name], tensor) for name, tensor in made.items())


@pytest.mark.parametrize("batch_norm", BATCH_NORM)
def test_weights_drawn_anew_are_those_of_a_network_made_anew(batch_norm: str) -> None:
    for activation in ACTIVATIONS:
        for seed in (3, 3, 4, 5, 3):
            overrides = (f"model.batch_norm={batch_norm}", f"model.activation={activation}")
            assert_as_made_anew(training(*overrides, seed=seed).recipe)
    assert all(model.redraws for model in networks._models.values())


def test_trials_of_one_architecture_and_another_seed_do_not_share_weights() -> None:
    one, other = training(seed=1), training(seed=2)
    assert not torch.equal(one.weights["layers.1.weight"], other.weights["layers.1.weight"])


class OwnWay(nn.Module):
    """Its weights are drawn by its maker, not by its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        nn.init.normal_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def in_place_of(maker: Callable[[], nn.Module], seed: int) -> Recipe:
    """A recipe with another network."""

    def network() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return maker()

    return replace(training(seed=seed).recipe, network=network, architecture=maker.__name__)


def test_a_network_that_its_layers_cannot_draw_anew_is_made_anew() -> None:
    for seed in (1, 2, 3):
        assert_as_made_anew(in_place_of(OwnWay, seed))
    assert networks._models["OwnWay"].redraws is False


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 3)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.norm(self.table(x)), 1))


def test_batch_norm_over_sequences_is_named_before_the_trial_starts() -> None:
    words = torch.zeros(20, 4, dtype=torch.int64), torch.zeros(20, dtype=torch.int64)
    recipe = replace(in_place_of(Sequences, 1), train=words, val=words)
    with pytest.raises(NotFusibleError, match="the layer norm is a BatchNorm1d of samples that"):
        Training(recipe)


def test_samples_of_a_shape_that_a_layer_does_not_take_fail_their_trial_alone() -> None:
    x, y = training().recipe.train
    with pytest.raises(RuntimeError, match="Expected size"):
        Training(replace(in_place_of(OwnWay, 1), train=(x[:, :3], y)))


def rms_norm(layer: nn.Module, name: str, state: layers.State, x: Tensor) -> Tensor:
    """Divided by the root of the mean square over each sample's features."""
    normal = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + layer.eps)  # type: ignore[operator]
    return normal * state.parameters[f"{name}.weight"][:, None]


def test_a_layer_is_on_lanes_by_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(layers.LAYERS, nn.RMSNorm, rms_norm)

    def network() -> nn.Module:
        parts = nn.Linear(4, 9), nn.RMSNorm(9, eps=1e-6), nn.ReLU(), nn.Linear(9, 3)
        return nn.Sequential(*parts)

    one = Training(in_place_of(network, 1))
    x, _ = one.recipe.train
    stacked = Stacked([one.plan], 1)
    stacked.put(0, one.plan, one.weights)
    plain = network()
    plain.load_state_dict(one.weights)
    found = one.plan.forward(stacked.state(False), x[None])[0]
    torch.testing.assert_close(found, plain(x))
    why = Stack([one], 1).use(Native)
    assert why == "its layer 1 is a RMSNorm"
