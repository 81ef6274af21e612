"""Claims about which parameters decay, and about the optimizers' settings."""

from typing import Any

import pytest
import torch
from torch import nn

from caviar.lightning.optimizers import make_optimizer, parameter_groups
from project.models.mlp import MLP


@pytest.mark.fast
def test_weight_decay_spares_biases_and_batch_norm() -> None:
    network = MLP(5, 3, hidden=[4], batch_norm="after")
    decayed, spared = parameter_groups(network)
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Linear)]
    assert {id(p) for p in decayed["params"]} == {id(w) for w in weights}
    assert "weight_decay" not in decayed
    assert spared["weight_decay"] == 0.0
    assert len(spared["params"]) + len(weights) == len(list(network.parameters()))


def test_decay_all_puts_every_parameter_in_one_group() -> None:
    network = MLP(5, 3)
    (group,) = parameter_groups(network, decay_all=True)
    assert len(group["params"]) == len(list(network.parameters()))


def test_frozen_parameters_are_left_out() -> None:
    network = nn.Linear(2, 2)
    network.weight.requires_grad_(False)
    (group,) = parameter_groups(network)
    assert [id(p) for p in group["params"]] == [id(network.bias)]


@pytest.mark.parametrize("decay_all", [False, True])
def test_a_step_without_gradient_shrinks_only_what_may_decay(decay_all: bool) -> None:
    layer = nn.Linear(2, 2)
    config = {
        "_target_": "torch.optim.AdamW",
        "lr": 0.1,
        "weight_decay": 0.5,
        "decay_all": decay_all,
    }
    optimizer = make_optimizer(layer, config)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(layer.weight, weight * 0.95)
    torch.testing.assert_close(layer.bias, bias * (0.95 if decay_all else 1.0))


def test_beta1_and_beta2_become_adams_betas() -> None:
    config: dict[str, Any] = {
        "_target_": "torch.optim.Adam",
        "_partial_": True,
        "lr": 0.1,
        "beta1": 0.8,
        "beta2": 0.99,
    }
    optimizer = make_optimizer(nn.Linear(2, 2), config)
    assert tuple(optimizer.param_groups[0]["betas"]) == (0.8, 0.99)
    assert config["beta1"] == 0.8  # the config itself is left alone
