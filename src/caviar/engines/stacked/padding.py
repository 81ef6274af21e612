"""Hidden units that a stack has more than a lane needs, so that networks of other widths may share it."""

from collections.abc import Callable

import torch
from torch import fx, nn

from caviar.engines.stacked.layers import ELEMENTWISE

Shapes = dict[str, tuple[int, ...]]
"""The shape of each tensor, by name."""
Chain = list[tuple[str, nn.Module]]
"""A network's layers by name, in order, where each takes what the one before it gave."""

PADDABLE = (nn.Linear, nn.BatchNorm1d, nn.Dropout)
"""Layers that may have units more than a lane needs: these stay 0. Element-wise ones may too."""


def chain_of(graph: fx.Graph, modules: dict[str, nn.Module]) -> Chain:
    """The layers in order, where each takes what the one before it gave; else nothing."""
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    if not all(node.op == "call_module" and len(node.users) == 1 for node in nodes):
        return []
    layers = [(node.target, modules[node.target]) for node in nodes]
    return layers if len({name for name, _ in layers}) == len(layers) else []


def paddable(layers: Chain) -> bool:
    """Whether units that stay 0 may be added between the layers."""
    linears = [index for index, (_, layer) in enumerate(layers) if isinstance(layer, nn.Linear)]
    if len(linears) < 2:
        return False
    for _, layer in layers[linears[0] + 1 : linears[-1]]:
        if type(layer) in ELEMENTWISE:
            # A unit that is not there must give 0, or weights after it would learn.
            if float(layer(torch.zeros(1))) != 0.0:
                return False
        elif not isinstance(layer, PADDABLE):
            return False  # a mean over units, say, must not count those that are not there
    return True


def padded_shapes(chain: Chain, shapes: Shapes, rounded: Callable[[int], int]) -> Shapes:
    """The shapes with hidden units rounded up."""
    padded = dict(shapes)
    last = max((i for i, (_, layer) in enumerate(chain) if isinstance(layer, nn.Linear)), default=0)
    units = 0  # of the layer before, rounded; 0 before the first Linear and after the last
    for index, (name, layer) in enumerate(chain):
        if isinstance(layer, nn.Linear):
            into = units or layer.in_features
            units = 0 if index == last else rounded(layer.out_features)
            padded[f"{name}.weight"] = (units or layer.out_features, into)
            if layer.bias is not None:
                padded[f"{name}.bias"] = (units or layer.out_features,)
        elif units and isinstance(layer, nn.BatchNorm1d):
            for own in ("weight", "bias", "running_mean", "running_var"):
                if f"{name}.{own}" in padded:
                    padded[f"{name}.{own}"] = (units,)
    return padded


def units_before(chain: Chain, dropout: str) -> int | None:
    """The units that a dropout layer in a chain is given, where these are a Linear's."""
    units = None
    for name, layer in chain:
        if name == dropout:
            return units
        units = layer.out_features if isinstance(layer, nn.Linear) else units
    return None


def power_of_two(units: int) -> int:
    """The next one, at least 16: networks of widths up to the same share a stack, or a kernel.

    Units that are 0 cost time, but so does a stack with few lanes.
    """
    return max(16, 1 << (units - 1).bit_length())
