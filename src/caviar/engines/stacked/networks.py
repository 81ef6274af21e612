"""The network of a trial as its lane takes it: its plan, and the weights that it begins with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caviar.engines.experiment import Recipe
from caviar.engines.stacked.parameters import Stacked
from caviar.engines.stacked.plan import Plan, plan_of

Weights = dict[str, Tensor]
"""A state dict; a trial's is never changed in place: others may share it."""

_MOST = 64


@dataclass
class _Model:
    """A network that stands for all of its architecture.

    Attributes:
        tensors: its state dict, which is what is drawn anew.
        seed: whose ``weights`` these are.
        redraws: whether drawing its weights anew gives those of a network made anew; None where
            that has not been tried.
    """

    network: nn.Module
    tensors: Weights
    plan: Plan
    seed: int
    weights: Weights
    redraws: bool | None = None


_models: dict[Hashable, _Model] = {}
_tried: set[Hashable] = set()


def plan_and_weights(recipe: Recipe) -> tuple[Plan, Weights]:
    """The plan of a recipe's network and its weights, just as ``recipe.network()`` would give them.

    Making a network takes half a millisecond, most of it to build what trials of one architecture
    have in common. So one network is built, and its weights are drawn anew for each seed, once that
    has been seen to give the same as building.

    Raises:
        NotFusibleError: it has a layer that cannot be stacked, or not for samples of this shape.
        Exception: what its layers say of samples of this shape.
    """
    plan, weights = _plan_and_weights(recipe)
    tried = plan.key, tuple(plan.padded.items()), recipe.train[0].shape[1:]
    if tried not in _tried:
        # Two samples through a stack of one: what that does not like is known before the trial is.
        stacked = Stacked([plan], 1)
        stacked.put(0, plan, weights)
        with torch.no_grad():
            plan.forward(stacked.state(False), recipe.train[0][None, :2])
        _tried.add(tried)
    return plan, weights


def _plan_and_weights(recipe: Recipe) -> tuple[Plan, Weights]:
    key = recipe.architecture
    if key is None or recipe.redraw is None:
        network = recipe.network()
        return plan_of(network), network.state_dict()
    model = _models.get(key)
    if model is None:
        network = recipe.network()
        tensors = network.state_dict()
        model = _Model(network, tensors, plan_of(network), recipe.seed, _copy(tensors))
        while len(_models) >= _MOST:
            del _models[next(iter(_models))]
        _models[key] = model
    elif model.seed != recipe.seed:
        model.seed, model.weights = recipe.seed, _drawn(model, recipe)
    return model.plan, model.weights


def _drawn(model: _Model, recipe: Recipe) -> Weights:
    assert recipe.redraw is not None
    if model.redraws is False:
        return recipe.network().state_dict()
    recipe.redraw(model.network)
    weights = _copy(model.tensors)
    if model.redraws is None:
        made = recipe.network().state_dict()
        model.redraws = all(torch.equal(own, weights[name]) for name, own in made.items())
        return made
    return weights


def _copy(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}
