"""Claims about the multilayer perceptron and its batch norm."""

import pytest
import torch
from torch import nn

from caviar import Dropout, UsageError
from project.choices import ACTIVATIONS
from project.models.mlp import MLP


def layers(network: MLP, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.layers if isinstance(layer, kind)]


def hidden_norm(**settings: float) -> tuple[MLP, nn.BatchNorm1d]:
    torch.manual_seed(0)
    network = MLP(5, 3, hidden=[4], **settings).double()  # type: ignore[arg-type]
    (norm,) = layers(network, nn.BatchNorm1d)
    assert isinstance(norm, nn.BatchNorm1d)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.uniform_(-1.0, 1.0)
    return network, norm


def test_in_training_batch_norm_is_the_four_formulas_in_float64() -> None:
    _, norm = hidden_norm(batch_norm_eps=1e-3)
    z = torch.randn(7, 4, dtype=torch.float64)
    mean = z.sum(0) / 7
    variance = ((z - mean) ** 2).sum(0) / 7
    normalised = (z - mean) / (variance + 1e-3).sqrt()
    expected = norm.weight * normalised + norm.bias
    torch.testing.assert_close(norm(z), expected, rtol=1e-12, atol=1e-12)


def test_in_evaluation_batch_norm_uses_the_running_mean_and_variance() -> None:
    network, norm = hidden_norm(batch_norm_momentum=0.25)
    batches = [torch.randn(9, 4, dtype=torch.float64) * 3 + 2 for _ in range(3)]
    mean, variance = torch.zeros(4).double(), torch.ones(4).double()
    for z in batches:
        norm(z)
        mean = 0.75 * mean + 0.25 * z.mean(0)
        variance = 0.75 * variance + 0.25 * z.var(0, unbiased=True)
    network.eval()
    z = torch.randn(2, 4, dtype=torch.float64)
    expected = norm.weight * (z - mean) / (variance + 1e-5).sqrt() + norm.bias
    torch.testing.assert_close(norm(z), expected, rtol=1e-12, atol=1e-12)


def test_a_bias_before_batch_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 5, dtype=torch.float64)
    linear, norm = nn.Linear(5, 4).double(), nn.BatchNorm1d(4).double()
    before = norm(linear(x))
    with torch.no_grad():
        linear.bias.add_(torch.tensor([100.0, -3.0, 0.5, 7.0]))
    torch.testing.assert_close(norm(linear(x)), before)


def test_so_a_linear_before_batch_norm_has_no_bias_and_the_last_one_has() -> None:
    first, second, last = layers(MLP(5, 3, hidden=[4, 4]), nn.Linear)
    assert first.bias is None
    assert second.bias is None
    assert last.bias is not None


@pytest.mark.parametrize("place", ["after", "none"])
def test_a_linear_that_no_batch_norm_follows_keeps_its_bias(place: str) -> None:
    assert all(layer.bias is not None for layer in layers(MLP(5, 3, batch_norm=place), nn.Linear))


def test_gamma_and_beta_are_learnable_and_one_a_unit() -> None:
    for norm in layers(MLP(5, 3, hidden=[4, 4]), nn.BatchNorm1d):
        assert norm.weight.shape == norm.bias.shape == (4,)
        assert norm.weight.requires_grad
        assert norm.bias.requires_grad


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("before", [nn.Linear, nn.BatchNorm1d, nn.ReLU, Dropout, nn.Linear]),
        ("after", [nn.Linear, nn.ReLU, nn.BatchNorm1d, Dropout, nn.Linear]),
        ("none", [nn.Linear, nn.ReLU, Dropout, nn.Linear]),
    ],
)
def test_the_layers_stand_in_the_order_asked_for(place: str, expected: list[type]) -> None:
    network = MLP(5, 3, hidden=[4], batch_norm=place, dropout=0.5)
    assert [type(layer) for layer in network.layers][1:] == expected


def test_a_list_of_hidden_sizes_overrules_depth_and_width() -> None:
    def sizes(network: MLP) -> list[int]:
        return [layer.out_features for layer in layers(network, nn.Linear)]

    assert sizes(MLP(5, 3, depth=3, width=7)) == [7, 7, 7, 3]
    assert sizes(MLP(5, 3, hidden=[6, 4], depth=3, width=7)) == [6, 4, 3]
    assert sizes(MLP(5, 3, hidden=[], depth=3, width=7)) == [3]


def test_depth_0_is_softmax_regression() -> None:
    network = MLP(5, 3, depth=0)
    (linear,) = layers(network, nn.Linear)
    x = torch.randn(2, 5)
    torch.testing.assert_close(network(x), linear(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_gradient(name: str) -> None:
    network = MLP(5, 3, activation=name)
    network(torch.randn(4, 2, 5).flatten(1)[:, :5]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_samples_of_any_shape_are_flattened() -> None:
    assert MLP(12, 3)(torch.randn(4, 3, 2, 2)).shape == (4, 3)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"activation": "rellu"}, "model.activation=rellu: no such activation; did you mean relu?"),
        ({"batch_norm": "befor"}, "model.batch_norm=befor: no such place; did you mean before?"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_one(settings: dict[str, str], line: str) -> None:
    with pytest.raises(UsageError) as told:
        MLP(5, 3, **settings)  # type: ignore[arg-type]
    assert str(told.value).startswith(line)
