"""Functions of torch that take a number, for lanes that differ in it: there it is a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Table = Mapping[Any, Callable[..., Any]]
"""Function of torch -> what is called instead, with the same arguments."""


class Instead(TorchFunctionMode):
    """Has others called instead of functions of torch while it is entered.

    Args:
        table: which.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return self._table.get(func, func)(*args, **(kwargs or {}))


def _lifted(
    function: Callable[..., Any], number: str, stand_in: Callable[..., Tensor]
) -> Callable[..., Any]:
    parameters = signature(function)

    def lifted(*args: Any, **kwargs: Any) -> Any:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        if isinstance(bound.arguments[number], Tensor):
            return stand_in(**bound.arguments)
        return function(*args, **kwargs)

    return lifted


def _dropout(features: bool) -> Callable[..., Tensor]:
    def dropout(input: Tensor, p: Tensor, training: bool, inplace: bool) -> Tensor:
        if not training:
            return input
        of = input[(..., *[slice(0, 1)] * (input.ndim - 2))] if features else input
        kept = torch.rand_like(of) >= p
        # Where all are dropped nothing is left to be scaled up.
        scale = torch.where(p < 1, 1 / (1 - p).clamp(min=1e-12), torch.zeros_like(p))
        out = input * kept * scale
        return input.copy_(out) if inplace else out

    return dropout


def _cross_entropy(label_smoothing: Tensor, **rest: Any) -> Tensor:
    # It is linear in the smoothing.
    plain = functional.cross_entropy(**rest, label_smoothing=0.0)
    smooth = functional.cross_entropy(**rest, label_smoothing=1.0)
    return (1 - label_smoothing) * plain + label_smoothing * smooth


def _huber(
    input: Tensor, target: Tensor, reduction: str, delta: Tensor, weight: Tensor | None = None
) -> Tensor:
    gap = (input - target).abs()
    loss = torch.where(gap < delta, 0.5 * gap * gap, delta * (gap - 0.5 * delta))
    return _reduced(loss if weight is None else loss * weight, reduction)


def _smooth_l1(input: Tensor, target: Tensor, beta: Tensor, reduction: str, **_: Any) -> Tensor:
    gap = (input - target).abs()
    return _reduced(torch.where(gap < beta, 0.5 * gap * gap / beta, gap - 0.5 * beta), reduction)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def _without(given: Callable[..., Tensor], *names: str) -> Callable[..., Tensor]:
    def stand_in(**arguments: Any) -> Tensor:
        return given(**{name: value for name, value in arguments.items() if name not in names})

    return stand_in


LIFTING: Table = {
    function: _lifted(function, number, stand_in)
    for function, number, stand_in in (
        (functional.dropout, "p", _dropout(features=False)),
        (functional.dropout1d, "p", _dropout(features=True)),
        (functional.dropout2d, "p", _dropout(features=True)),
        (functional.dropout3d, "p", _dropout(features=True)),
        (functional.cross_entropy, "label_smoothing", _cross_entropy),
        (functional.huber_loss, "delta", _without(_huber, "size_average", "reduce")),
        (functional.smooth_l1_loss, "beta", _without(_smooth_l1, "size_average", "reduce")),
    )
}
"""Functions that take a tensor for a number of theirs, too."""
