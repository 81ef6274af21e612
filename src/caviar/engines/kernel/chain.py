"""The networks that the program of a lane knows: two hidden layers at most, of one make, and a last one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from caviar.engines.native.loop import activation_of

_ACTIVATIONS = (0, 1, 2, 3, 5, 6)
"""Of `loop.cpp`, those that give 0 for 0: a unit that is only there to fill a tile gives nothing."""

_NORMS = ["LA", "LNA", "LAN"]
"""What a hidden layer is made of, but for dropout at its end: Linear, activation and batch norm."""


class Hidden(NamedTuple):
    """The names of a hidden layer's parts; empty where it has none."""

    linear: str
    norm: str
    dropout: str


@dataclass(frozen=True)
class Chain:
    """A network, as the program is told of it.

    Attributes:
        hidden: its hidden layers, and ``last``, the name of the last one.
        activation: its number in `loop.cpp`, and its setting.
        norm: where batch norm is: 0 nowhere, 1 before the activation, 2 after.
    """

    hidden: tuple[Hidden, ...]
    last: str
    activation: tuple[int, float]
    norm: int


def chain_of(layers: Iterable[tuple[str, nn.Module]]) -> Chain | str:
    """Read a chain of layers, or say why the program does not know it."""
    groups: list[dict[str, str]] = []
    activations: set[tuple[int, float]] = set()
    for name, layer in layers:
        activation = activation_of(layer)
        match layer:
            case nn.Flatten() | nn.Identity():
                continue
            case nn.Linear():
                kind = "L"
                groups.append({})
            case nn.BatchNorm1d():
                kind = "N"
            case nn.Dropout():
                kind = "D"
            case _ if activation is not None and activation[0] in _ACTIVATIONS:
                kind = "A"
                activations.add(activation)
            case _:
                return f"its layer {name} is a {type(layer).__name__}"
        if not groups or kind in groups[-1]:
            return f"its layer {name} is not where it is known"
        groups[-1][kind] = name
    if not groups or list(groups[-1]) != ["L"]:
        return "it is no chain of layers that ends in a Linear"
    *before, last = groups
    if len(before) > 2:
        return f"it has {len(before)} hidden layers, and 2 are the most"
    makes = {"".join(group) for group in before}
    make = makes.pop() if makes else _NORMS[0]
    plain = make.removesuffix("D")
    if makes or plain not in _NORMS or len(activations) > 1:
        return "its hidden layers are not Linear, batch norm, activation and Dropout, all alike"
    hidden = tuple(Hidden(*(group.get(kind, "") for kind in "LND")) for group in before)
    return Chain(hidden, last["L"], next(iter(activations), (0, 0.0)), _NORMS.index(plain))
