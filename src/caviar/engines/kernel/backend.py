"""The backend that trains a lane in a multiprocessor: `program.py`, which is Triton's, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from caviar.engines.dropout import limit_of
from caviar.engines.native.binding import OPTIMIZERS
from caviar.engines.native.loop import activation_of
from caviar.engines.philox import blocks_of
from caviar.engines.stacked.backend import ByTorch, Steps
from caviar.engines.stacked.tensors import LaneTensors

MOST = 128
"""Units of a layer, features and samples of a batch, at most: their weights are to stay in the cache."""

_ACTIVATIONS = (0, 1, 2, 3, 5, 6, 7)
_LINEAR, _NORM, _ACTIVATION, _DROPOUT = range(4)
_WARPS = 8


def _why_not_this_machine(device: str) -> str | None:
    if find_spec("triton") is None:
        return "Triton is not installed"
    from triton import knobs

    if device != "cuda" and not knobs.runtime.interpret:
        return f"it is on {device}, and the kernel is for a GPU"
    return None


@dataclass(frozen=True)
class Chain:
    """A network that the program knows: hidden layers, each of the same make, and a last one.

    Attributes:
        linears, norms, dropouts: the layers' names, in order.
        activation: its number in `loop.cpp`, and its setting.
        norm: where batch norm is: 0 nowhere, 1 before the activation, 2 after.
    """

    linears: tuple[str, ...]
    norms: tuple[str, ...]
    dropouts: tuple[str, ...]
    activation: tuple[int, float]
    norm: int


_NORMS = {
    (_LINEAR, _ACTIVATION): 0,
    (_LINEAR, _NORM, _ACTIVATION): 1,
    (_LINEAR, _ACTIVATION, _NORM): 2,
}


def chain_of(layers: tuple[tuple[str, nn.Module], ...]) -> Chain | str:
    """Read a chain of layers, or say why the program does not know it."""
    named: dict[int, list[str]] = {kind: [] for kind in range(4)}
    groups: list[list[int]] = []
    activations: list[tuple[int, float]] = []
    for name, layer in layers:
        kind, activation = _DROPOUT, activation_of(layer)
        if isinstance(layer, nn.Flatten | nn.Identity):
            continue
        if isinstance(layer, nn.Linear):
            kind = _LINEAR
            groups.append([])
        elif isinstance(layer, nn.BatchNorm1d):
            kind = _NORM
        elif activation is not None and activation[0] in _ACTIVATIONS:
            kind = _ACTIVATION
            activations.append(activation)
        elif not isinstance(layer, nn.Dropout):
            return f"its layer {name} is a {type(layer).__name__}"
        if not groups:
            return f"its layer {name} is before the first Linear"
        groups[-1].append(kind)
        named[kind].append(name)
    if not groups or groups.pop() != [_LINEAR]:
        return "it is no chain of layers that ends in a Linear"
    if len(groups) > 2:
        return f"it has {len(groups)} hidden layers, and 2 are the most"
    drops = {group[-1] == _DROPOUT for group in groups}
    plain = {tuple(group[:-1] if group[-1] == _DROPOUT else group) for group in groups}
    if len(drops) > 1 or len(plain) > 1 or not plain <= set(_NORMS) or len(set(activations)) > 1:
        return "its hidden layers are not Linear, activation, batch norm and Dropout, all alike"
    norm = _NORMS[plain.pop()] if plain else 0
    return Chain(
        tuple(named[_LINEAR]), tuple(named[_NORM]), tuple(named[_DROPOUT]),
        activations[0] if activations else (0, 0.0), norm,
    )  # fmt: skip


def why_not(tensors: LaneTensors) -> str | None:
    """What keeps lanes from being trained by the program; None where nothing does."""
    course, optimizer, net = tensors.course, tensors.optimizer, tensors.net
    x, y = tensors.train
    why = _why_not_this_machine(tensors.device)
    if why is not None:
        return why
    if course.mixed or {course.dtype, x.dtype} != {torch.float32}:
        return f"its data are {x.dtype}, its layers {'bf16' if course.mixed else course.dtype}"
    if optimizer.target not in OPTIMIZERS:
        return f"its optimizer is {optimizer.target.__name__}"
    if tensors.norm is not None or tensors.value is not None:
        return "its gradients are clipped"
    chain = chain_of(net.plan.layers)
    if isinstance(chain, str):
        return chain
    sizes = {"features": x[0].numel(), "samples a batch": course.batch_size}
    sizes |= {f"units of {name}": net.shapes[f"{name}.weight"][0] for name in chain.linears}
    for name, size in sizes.items():
        if size > MOST:
            return f"{size} {name}, and {MOST} are the most"
    rest = course.samples % course.batch_size
    if chain.norms and 1 in (course.batch_size, rest):
        return "batch norm of one sample"
    if int(y.min()) < 0 or int(y.max()) >= tensors.num_classes:
        return f"its classes are not whole numbers from 0 to {tensors.num_classes - 1}"
    return None


class ByKernel(ByTorch):
    """Trains each lane by a program of its own; validates as `ByTorch` does."""

    rehearsed = 32

    def __init__(self, tensors: LaneTensors) -> None:
        super().__init__(tensors)
        chain = chain_of(tensors.net.plan.layers)
        assert isinstance(chain, Chain)
        self._chain = chain
        self._fixed = arguments(tensors, chain)
        x = tensors.train[0].flatten(1)
        self._x = functional.pad(x, (0, self._fixed["D"] - x.shape[1])).contiguous()
        size, b, d, u, v, c = (self._fixed[name] for name in ("SIZE", "B", "D", "U", "V", "C"))
        room = 3 * size + b * (d + 5 * u + 5 * v + c)
        self._work = torch.zeros(tensors.lanes, room, device=tensors.device)

    @classmethod
    def over(cls, tensors: LaneTensors) -> Self | str:
        """One for these lanes, or why there is none."""
        return why_not(tensors) or cls(tensors)

    def steps(self, steps: Steps) -> None:
        """Take them, every lane by itself, in one launch."""
        from caviar.engines.kernel.program import train

        tensors, net = self._tensors, self._tensors.net
        slots = tensors.slots
        train[(len(steps.lanes),)](
            net.flat.detach(), net.running, slots[0], slots[-1], self._work, self._x, tensors.train[1], steps.order,
            steps.columns, self._keys(steps), self._numbers(), tensors.smoothing, tensors.weights,
            steps.losses, steps=len(steps.columns), seen=steps.order.shape[1],
            order_row=steps.order.stride(0), **self._fixed, num_warps=_WARPS, num_stages=1,
        )  # fmt: skip
        net.count_steps(len(steps.columns))

    def _keys(self, steps: Steps) -> Tensor:
        found = np.zeros((5, self._tensors.lanes), dtype=np.int64)
        found[0, : len(steps.lanes)] = steps.lanes
        found[1:3] = steps.keys
        for place, name in enumerate(self._chain.dropouts):
            found[3 + place] = blocks_of(self._tensors.dropped[name])
        return torch.from_numpy(found).to(self._tensors.device)

    def _numbers(self) -> Tensor:
        """The optimizer's constants, and each hidden layer's: see `program.OWN`."""
        tensors, chain = self._tensors, self._chain
        values, zeros = tensors.net.values, torch.zeros_like(tensors.smoothing)
        rows = [tensors.constants[name][:, 0] for name in tensors.optimizer.constants]
        rows += [zeros] * (6 - len(rows))
        for layer in range(2):
            own = [zeros] * 4
            if layer < len(chain.norms):
                own[:2] = [values[f"{chain.norms[layer]}.{name}"] for name in ("eps", "momentum")]
            if layer < len(chain.dropouts):
                p = values[f"{chain.dropouts[layer]}.p"]
                own[2:] = [limit_of(p).to(p.dtype), 1 / (1 - p)]
            rows += own
        return torch.stack(rows)


def arguments(tensors: LaneTensors, chain: Chain) -> dict[str, Any]:
    """What stays the same from launch to launch: sizes, and where things lie."""
    net, course = tensors.net, tensors.course
    features = tensors.train[0][0].numel()
    layers = [_places(tensors, chain, index) for index in range(len(chain.linears))]
    nothing = (0,) * 7
    hidden = [*layers[:-1], nothing, nothing][:2]
    sizes = {
        "B": rounded(course.batch_size),
        "D": rounded(features),
        "U": rounded(hidden[0][0]),
        "V": rounded(hidden[1][0]),
        "C": rounded(tensors.num_classes),
    }
    return {
        "lanes": tensors.lanes,
        "parameter_row": net.flat.shape[1],
        "running_row": net.running.shape[1],
        "column_count": len(tensors.optimizer.columns),
        "samples": len(tensors.train[0]),
        "features": features,
        "classes": tensors.num_classes,
        "batch": course.batch_size,
        "one": hidden[0],
        "two": hidden[1],
        "last": layers[-1],
        "activation_number": float(chain.activation[1]),
        "DEPTH": len(layers) - 1,
        "OPTIMIZER": OPTIMIZERS[tensors.optimizer.target],
        "DECAY_ALL": tensors.decayed == net.flat.shape[1],
        "ACTIVATION": chain.activation[0],
        "NORM": chain.norm,
        "AFFINE": f"{chain.norms[0]}.weight" in net.shapes if chain.norms else False,
        "DROPOUT": bool(chain.dropouts),
        "HIDDEN_BIAS": f"{chain.linears[0]}.bias" in net.shapes,
        "LAST_BIAS": f"{chain.linears[-1]}.bias" in net.shapes,
        **sizes,
        "SIZE": _size([sizes[name] for name in "DUV"[: len(layers)]] + [sizes["C"]]),
        "TILE": 64,
        "PRECISION": "tf32x3",
    }


def _places(tensors: LaneTensors, chain: Chain, index: int) -> tuple[int, ...]:
    """A layer's units, and where its numbers lie; 0 where it has none."""
    net, linear = tensors.net, chain.linears[index]
    norm = chain.norms[index] if index < len(chain.norms) else ""
    names = (f"{linear}.weight", f"{linear}.bias", f"{norm}.weight", f"{norm}.bias")
    stats = (f"{norm}.running_mean", f"{norm}.running_var")
    return (
        net.shapes[names[0]][0],
        *(net.layout.places.get(name, (0,))[0] for name in names),
        *(net.running_layout.places.get(name, (0,))[0] for name in stats),
    )


def _size(widths: list[int]) -> int:
    """Numbers that a network of such widths takes in ``work``: each layer's weight, and six vectors."""
    return sum(units * (before + 6) for before, units in pairwise(widths))


def rounded(size: int) -> int:
    """The next power of two, at least 16: what a product of matrices takes."""
    return max(16, 1 << max(0, size - 1).bit_length())
