"""Each layer that can be stacked: ``(lanes, batch, in) -> (lanes, batch, out)``, a lane its own weights."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from caviar.engines.dropout import Dropout, factors
from caviar.engines.experiment import NotFusibleError


@dataclass
class State:
    """What the stacked layers of a network compute with.

    Attributes:
        parameters, buffers: by the plain network's names, each with a first dimension of lanes.
        values: numbers that a layer has a lane (``2.eps``, ``4.p``), shape ``(lanes,)``.
        bits: random 16-bit integers for each dropout layer, shape ``(lanes, batch, …)``.
        training: as `torch.nn.Module.training`.
        seen: where it is a dict, what each dropout layer was given, the shape of a sample.
    """

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    values: dict[str, Tensor]
    bits: dict[str, Tensor] = field(default_factory=dict)
    training: bool = True
    seen: dict[str, tuple[int, ...]] | None = None


Forward = Callable[[nn.Module, str, State, Tensor], Tensor]


def linear(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """``x`` of shape ``(lanes, batch, …, in)``; weights ``(lanes, out, in)``."""
    weight = state.parameters[f"{name}.weight"].transpose(1, 2)
    bias = state.parameters.get(f"{name}.bias")
    rows = x.flatten(1, -2)
    out = torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias[:, None], rows, weight)
    return out.unflatten(1, x.shape[1:-1]) if x.ndim > 3 else out


def batch_norm(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """Over the batch of each lane; running statistics ``(lanes, features)``."""
    if x.ndim != 3:
        raise NotFusibleError(f"the layer {name} is a BatchNorm1d of samples that are no vectors")
    mean, var = state.buffers[f"{name}.running_mean"], state.buffers[f"{name}.running_var"]
    eps, momentum = _a_lane(state.values[f"{name}.eps"], x), state.values[f"{name}.momentum"]
    weight, bias = (state.parameters.get(f"{name}.{own}") for own in ("weight", "bias"))
    x = x if x.dtype == torch.float64 else x.float()  # bf16 has too few digits for a variance
    if not state.training:
        scale = torch.rsqrt(var[:, None] + eps)
        if weight is None or bias is None:
            return (x - mean[:, None]) * scale
        scale = scale * weight[:, None]
        return torch.addcmul(bias[:, None] - mean[:, None] * scale, x, scale)
    if x.shape[1] == 1:  # the words of torch.nn.functional.batch_norm
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {x[0].shape}"
        )
    normal, centre, spread = _Normalised.apply(x, eps)  # type: ignore[misc]
    batch = x.shape[1]
    with torch.no_grad():
        share = momentum[:, None]
        # Not by lerp: infinity less infinity is no number.
        mean.mul_(1 - share).add_(share * centre[:, 0])
        unbiased = spread[:, 0] * (batch / (batch - 1))
        # A neighbour's double is not to change how this lane's product is rounded.
        plain = spread[:, 0].to(var.dtype) * (batch / (batch - 1))
        kept = share * plain + (1 - share) * var
        if unbiased.dtype != var.dtype:
            # In double, as torch, where it is more than a float holds.
            wide = (share.double() * unbiased + (1 - share.double()) * var).to(var.dtype)
            kept = torch.where(plain.isfinite(), kept, wide)
        var.copy_(kept)
    return _affine(name, state, normal)


class _Normalised(torch.autograd.Function):
    """``x`` of shape ``(lanes, batch, features)`` with mean 0 and variance 1 over the batch.

    Written by hand because autograd would go over the numbers three times as often; the gradient is
    that of Ioffe and Szegedy (arXiv:1502.03167, section 3).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centre = x.mean(1, keepdim=True)
        normal = x - centre
        spread = (normal * normal).mean(1, keepdim=True)
        scale = torch.rsqrt(spread + eps)
        normal.mul_(scale)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            fine = scale.isfinite() & spread.isfinite()
            if not bool(fine.all()):
                # Squares that are too large for floats: in double there, as torch's own on a CPU.
                wide = x.double()
                widely, centred = torch.var_mean(wide, 1, correction=0, keepdim=True)
                by = torch.rsqrt(widely + eps)
                normal = normal.where(fine, ((wide - centred) * by).to(x.dtype))
                scale = scale.where(fine, by.to(x.dtype))
                centre = centre.where(fine, centred.to(x.dtype))
                spread = spread.double().where(fine, widely)
        ctx.save_for_backward(normal, scale)
        ctx.mark_non_differentiable(centre, spread)
        return normal, centre, spread

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        normal, scale = ctx.saved_tensors
        along = (gradient * normal).mean(1, keepdim=True)
        centred = gradient - gradient.mean(1, keepdim=True)
        return centred.addcmul_(normal, along, value=-1).mul_(scale), None


def layer_norm(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """Over the last dimensions of each sample."""
    dims = list(range(-len(layer.normalized_shape), 0))  # type: ignore[arg-type]
    wide = x if x.dtype == torch.float64 else x.float()
    spread, centre = torch.var_mean(wide, dim=dims, correction=0, keepdim=True)
    normal = (wide - centre) * torch.rsqrt(spread + _a_lane(state.values[f"{name}.eps"], wide))
    return _affine(name, state, normal)


def dropout(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """A unit is 0 with its lane's chance ``p``, in steps of 2**-16; the others are scaled up.

    The bits hang on each lane's seed and epoch, so a trial drops the same units on any lane.
    """
    if state.seen is not None:
        state.seen[name] = tuple(x.shape[2:])
    if not state.training:
        return x
    return x * factors(state.bits[name], _a_lane(state.values[f"{name}.p"], x))


def embedding(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """``x`` of integers, shape ``(lanes, …)``; weights ``(lanes, words, size)``."""
    weight = state.parameters[f"{name}.weight"]
    words = x.reshape(len(x), -1, 1).expand(-1, -1, weight.shape[2])
    return weight.gather(1, words).reshape(*x.shape, weight.shape[2])


def flatten(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """All dimensions after the batch into one."""
    return x.flatten(2)


def elementwise(layer: nn.Module, name: str, state: State, x: Tensor) -> Tensor:
    """A layer that looks at each number alone computes a stack as it computes a batch."""
    return layer(x)


def _affine(name: str, state: State, x: Tensor) -> Tensor:
    weight = state.parameters.get(f"{name}.weight")
    bias = state.parameters.get(f"{name}.bias")
    if weight is None:
        return x
    weight = weight.view(len(weight), *[1] * (x.ndim - weight.ndim), *weight.shape[1:])
    if bias is None:
        return x * weight
    return torch.addcmul(bias.reshape(weight.shape), x, weight)


def _a_lane(values: Tensor, like: Tensor) -> Tensor:
    """``(lanes,)`` as ``(lanes, 1, …)``, to go with a tensor of any shape."""
    return values.view(-1, *[1] * (like.ndim - 1))


ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.LogSigmoid, nn.Identity,
)  # fmt: skip

LAYERS: dict[type[nn.Module], Forward] = {
    nn.Linear: linear,
    nn.BatchNorm1d: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.Dropout: dropout,
    Dropout: dropout,
    nn.Embedding: embedding,
    nn.Flatten: flatten,
    **dict.fromkeys(ELEMENTWISE, elementwise),
}
"""The layers that can be stacked; to add one, write its function and put it here."""

VALUES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.BatchNorm1d: ("eps", "momentum"),
    nn.LayerNorm: ("eps",),
    nn.Dropout: ("p",),
    Dropout: ("p",),
}
"""Attributes that may differ between lanes; all others must be the same in a stack."""

FUNCTIONS: set[Any] = {
    operator.add, operator.iadd, operator.sub, operator.mul, operator.neg, torch.add,
    torch.relu, torch.tanh, torch.sigmoid, functional.relu, functional.gelu, functional.silu,
    functional.elu, functional.leaky_relu, functional.mish, functional.softplus, functional.tanh,
    functional.sigmoid,
}  # fmt: skip
"""Functions in a network's ``forward`` that compute a stack as they compute a batch."""
