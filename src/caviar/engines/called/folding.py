"""Functions of torch that a CPU computes for all lanes in one call, where `vmap` goes a slower way.

To batch norm, pooling and convolutions the lanes are so many more channels, and these are laid out last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch.nn import functional

from caviar.engines.called.lifting import Table

_LEVEL = 1
"""Of the `vmap` over lanes: what a step itself calls by `torch.func` is further in, and left to torch."""

_SHORT = 64
"""Up to as many numbers torch's softmax is faster over rows that do not lie side by side."""

_FEW = 12
"""Up to as many keys attention is faster step by step than by torch's kernel."""


def on_lanes(*parts: Any) -> bool:
    """Whether each is a lane's own to the step that calls."""
    return all(
        _functorch.is_batchedtensor(part) and _functorch.maybe_get_level(part) == _LEVEL
        for part in parts
    )


def _lanes(part: Tensor) -> int:
    return _functorch.get_unwrapped(part).shape[_functorch.maybe_get_bdim(part)]


def opened(part: Tensor, at: int) -> Tensor:
    """A tensor of one lane to the step, with all lanes as its dimension ``at``."""
    return _functorch.get_unwrapped(part).movedim(_functorch.maybe_get_bdim(part), at)


def closed(whole: Tensor, at: int) -> Tensor:
    """The other way round: of a tensor with all lanes as its dimension ``at`` one of one lane."""
    return _functorch._add_batch_dim(whole, at, _LEVEL)


def _folded(part: Tensor) -> Tensor:
    """``(samples, channels, …)`` of each lane as ``(samples, lanes * channels, …)``."""
    return opened(part, 1).flatten(1, 2)


def _unfolded(folded: Tensor, lanes: int) -> Tensor:
    return closed(folded.unflatten(1, (lanes, -1)), 1)


def _flat(part: Tensor | None, lanes: int) -> Tensor | None:
    """``(channels,)`` of each lane, or of all, as ``(lanes * channels,)``."""
    if part is None:
        return None
    return opened(part, 0).reshape(-1) if on_lanes(part) else part.repeat(lanes)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    running = [part for part in (running_mean, running_var) if part is not None]
    in_place = all(on_lanes(part) and opened(part, 0).is_contiguous() for part in running)
    if not on_lanes(input) or (training and not in_place):
        return functional.batch_norm(
            input, running_mean, running_var, weight, bias, training, momentum, eps
        )
    lanes = _lanes(input)
    mean, var, scale, shift = (
        _flat(part, lanes) for part in (running_mean, running_var, weight, bias)
    )
    found = functional.batch_norm(_folded(input), mean, var, scale, shift, training, momentum, eps)
    return _unfolded(found, lanes)


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    own = on_lanes(input)
    if not on_lanes(weight) or input.ndim != 4 or (groups > 1 and not own):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    lanes, last = _lanes(weight), torch.channels_last
    x = (_folded(input) if own else input).contiguous(memory_format=last)
    if x.shape[1] == 1:  # else torch takes it for one whose channels are laid out first
        x = x[:, 0, ..., None].movedim(-1, 1)
    kernels = opened(weight, 0).flatten(0, 1).contiguous(memory_format=last)
    parts = groups * lanes if own else 1
    found = torch.conv2d(x, kernels, _flat(bias, lanes), stride, padding, dilation, parts)
    return _unfolded(found.contiguous(memory_format=last), lanes)


def _of_channels(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ``(samples, channels, height, width)`` that does the same to each channel."""

    def called(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not on_lanes(input) or input.ndim != 4:
            return function(input, *args, **kwargs)
        found, lanes = function(_folded(input), *args, **kwargs), _lanes(input)
        pooled, *indices = found if isinstance(found, tuple) else (found,)
        if pooled.requires_grad:  # a gradient laid out otherwise costs copies of all that it is of
            pooled.register_hook(lambda own: own.contiguous(memory_format=torch.channels_last))
        parts = [_unfolded(part, lanes) for part in (pooled, *indices)]
        return tuple(parts) if isinstance(found, tuple) else parts[0]

    return called


def _short_softmax(function: Callable[..., Tensor], numbers: Tensor) -> Tensor:
    """Over the last dimension."""
    if numbers.shape[-1] > _SHORT:
        return function(numbers, -1)
    return function(numbers.movedim(-1, 0).contiguous(), 0).movedim(0, -1)


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def called(input: Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        last = dim in (-1, input.ndim - 1)
        if not on_lanes(input) or not last or not input.ndim or args or kwargs:
            return function(input, dim, *args, **kwargs)
        return closed(_short_softmax(function, opened(input, 0)), 0)

    return called


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Lanes are so many more samples."""
    alike = query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    if not on_lanes(query, key, value) or not alike or dropout_p or enable_gqa:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    q, k, v = (opened(part, 0) for part in (query, key, value))
    if attn_mask is None and k.shape[-2] <= _FEW:
        seen = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-2, -1)
        if is_causal:
            later = torch.ones(seen.shape[-2:], dtype=torch.bool).triu(1)
            seen = seen.masked_fill(later, -torch.inf)
        return closed(_short_softmax(torch.softmax, seen) @ v, 0)
    heads = q.shape[:-2] if q.ndim > 3 else (len(q), 1)

    def as_samples(part: Tensor) -> Tensor:
        return part.reshape(-1, *heads[-1:], *part.shape[-2:])

    mask = attn_mask
    if mask is not None:
        mask = opened(mask, 0) if on_lanes(mask) else mask[None]
        mask = mask.reshape(len(mask), *(1,) * (q.ndim - mask.ndim), *mask.shape[1:])
        mask = as_samples(mask.expand(*q.shape[:-2], *mask.shape[-2:]))
    found = functional.scaled_dot_product_attention(
        as_samples(q), as_samples(k), as_samples(v), mask, 0.0, is_causal, scale=scale
    )
    return closed(found.view(*q.shape[:-1], -1), 0)


FOLDING: Table = {
    functional.batch_norm: _batch_norm,
    torch.conv2d: _conv2d,
    functional.max_pool2d: _of_channels(functional.max_pool2d),
    functional.adaptive_max_pool2d: _of_channels(functional.adaptive_max_pool2d),
    functional.avg_pool2d: _of_channels(functional.avg_pool2d),
    functional.adaptive_avg_pool2d: _of_channels(functional.adaptive_avg_pool2d),
    functional.scaled_dot_product_attention: _attention,
    **{
        function: _softmax(function)
        for function in (
            functional.softmax, torch.softmax, Tensor.softmax,
            functional.log_softmax, torch.log_softmax, Tensor.log_softmax,
        )
    },
}  # fmt: skip
"""Functions that come to torch's numbers, up to rounding: of lanes on a CPU, in their own precision."""
