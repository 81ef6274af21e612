"""A backend steps the lanes of a stack; the one that can always be had does so by torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from caviar.engines.philox import blocks_of, drawn, drawn_by_torch
from caviar.engines.stacked.compiling import compiled
from caviar.engines.stacked.copies import sent
from caviar.engines.stacked.layers import State
from caviar.engines.stacked.optimizers import clip
from caviar.engines.stacked.plan import Plan
from caviar.engines.stacked.tensors import LaneTensors, forward

log = logging.getLogger(__name__)

_DRAWN_AT_ONCE = 1 << 24
"""Random numbers for dropout, all lanes together: a few steps' worth, so that memory stays small."""

_EVALUATED_AT_ONCE = 1 << 22
"""Numbers in a layer's output at validation, all lanes together."""


@dataclass(frozen=True)
class Steps:
    """The first steps of an epoch, or all.

    Attributes:
        lanes: those that have a training; what becomes of the others is no matter.
        order: which samples, ``(lanes, samples)``, those of these steps alone.
        columns: the optimizer's ``(steps, columns, lanes, 1)``.
        keys: the lanes' seeds and epochs, ``(2, lanes)``, which dropout draws by.
        losses: ``(lanes,)``: the mean loss of each step, before it, is added.
    """

    lanes: Sequence[int]
    order: Tensor
    columns: Tensor
    keys: NDArray[np.int64]
    losses: Tensor


class Backend(Protocol):
    """How lanes are trained and evaluated: what a stack, which knows whose turn it is, asks for.

    It works on the tensors of the stack, in place, and keeps nothing of a lane that is not there. So
    a stack may change its backend between two epochs, and takes and saves lanes without asking it.

    Attributes:
        rehearsed: how many steps are timed together, where there are so many.
        recorded: whether a validation is to be a CUDA graph: it evaluates all lanes, always the same way.
    """

    rehearsed: int
    recorded: bool

    @classmethod
    def over(cls, tensors: LaneTensors) -> Self | str:
        """One for these lanes, or why there is none."""
        ...

    def admit(self, lane: int, plan: Plan) -> None:
        """A network of ``plan`` is on the lane from now on."""
        ...

    def steps(self, steps: Steps) -> None:
        """Take some steps."""
        ...

    def evaluate(self, lanes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The validation part: probabilities ``(lanes, classes, samples)``, losses summed ``(lanes,)``."""
        ...


class ByTorch:
    """Steps all lanes as one model: a batched product for each layer.

    Attributes:
        compiled: whether steps go by a compiled graph; may be set at any time. It changes rounding.
    """

    rehearsed = 1
    recorded = False

    def __init__(self, tensors: LaneTensors) -> None:
        self.compiled = False
        self._tensors = tensors
        net = tensors.net
        self._gradients = torch.zeros_like(net.flat)
        self._gradient_views = list(net.layout.views(self._gradients).values())
        self._leaves = list(net.parameters.values())
        self._widest = max([shape[0] for shape in net.shapes.values() if shape])

    @classmethod
    def over(cls, tensors: LaneTensors) -> Self | str:
        """One for these lanes: there always is."""
        return cls(tensors)

    def admit(self, lane: int, plan: Plan) -> None:
        """Nothing to do: all lanes are as wide as the widest."""

    def steps(self, steps: Steps) -> None:
        """Take them one after the other."""
        # Between tensors lies what no step writes: clipping NaN has made it NaN, and the next trial's norm.
        self._gradients.zero_()
        size, losses, number = self._tensors.course.batch_size, steps.losses, 0
        for bits, count in drawn_ahead(self._tensors, steps):
            for step in range(count):
                rows = steps.order[:, number * size : (number + 1) * size]
                own = {name: drawn[step, :, : rows.shape[1]] for name, drawn in bits.items()}
                losses += self._step(rows, steps.columns[number], own)
                number += 1

    def evaluate(self, lanes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Backend.evaluate`."""
        tensors, (x, y) = self._tensors, self._tensors.val
        count, mixed = tensors.lanes, tensors.course.mixed
        total = torch.zeros(count, dtype=tensors.course.dtype, device=tensors.device)
        at_once = max(1, _EVALUATED_AT_ONCE // (count * self._widest))
        probabilities = []
        with torch.no_grad():
            for start in range(0, len(x), at_once):
                part, targets = x[start : start + at_once], y[start : start + at_once]
                state = tensors.net.state(False)
                logits = forward(tensors.net.plan, state, part.expand(count, *part.shape), mixed)
                losses = cross_entropy(logits, targets.expand(count, -1), *tensors.loss_settings)
                total += losses.sum(1)
                probabilities.append(logits.transpose(1, 2).contiguous().softmax(dim=1))
        return torch.cat(probabilities, dim=2), total

    def _step(self, rows: Tensor, columns: Tensor, bits: dict[str, Tensor]) -> Tensor:
        """One step of all lanes; the loss of each, before it."""
        tensors = self._tensors
        gradients, losses = self._backward(rows, bits)
        for view, gradient in zip(self._gradient_views, gradients, strict=True):
            view.copy_(gradient)
        clip(self._gradients, tensors.norm, tensors.value)
        tensors.optimizer.step(
            tensors.net.flat,
            self._gradients,
            tensors.slots,
            tensors.constants,
            columns.unbind(0),
            tensors.decayed,
        )
        tensors.net.count_steps(1)
        return losses

    def _backward(self, rows: Tensor, bits: dict[str, Tensor]) -> tuple[Sequence[Tensor], Tensor]:
        net = self._tensors.net
        arguments = (
            net.plan,
            net.state(True, bits),
            *(*self._tensors.train, rows),
            *self._tensors.loss_settings,
            self._tensors.course.mixed,
        )
        if self.compiled:
            try:
                losses = compiled(_losses)(*arguments)
            except RuntimeError as error:  # torch._dynamo and torch._inductor raise kinds of it
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                log.warning("not compiled, so step by step: %s", " ".join(str(error).split())[:500])
                self.compiled = False
        if not self.compiled:
            losses = _losses(*arguments)
        # The lanes' losses have no parameter in common: the gradient of the sum is each lane's own.
        return torch.autograd.grad(losses.sum(), self._leaves), losses.detach()


def drawn_ahead(tensors: LaneTensors, steps: Steps) -> Iterator[tuple[dict[str, Tensor], int]]:
    """Some steps at a time: random numbers of the dropout layers, and how many steps.

    A layer's are of shape ``(steps, lanes, batch, …)``; those that a lane has no unit for are any.
    """
    size, count = tensors.course.batch_size, len(steps.columns)
    if not tensors.units:
        yield {}, count
        return
    numbers = size * tensors.lanes * sum(map(prod, tensors.units.values()))
    at_once = max(1, _DRAWN_AT_ONCE // numbers)
    draw = _drawn_here if tensors.device == "cpu" else _drawn_there
    for start in range(0, count, at_once):
        some = range(start, min(start + at_once, count))
        yield draw(tensors, steps, some), len(some)


def _drawn_here(tensors: LaneTensors, steps: Steps, some: range) -> dict[str, Tensor]:
    size, plan, found = tensors.course.batch_size, tensors.net.plan, {}
    for name, shape in tensors.units.items():
        rows = size * prod(shape[:-1])
        found[name] = numbers = torch.empty(
            len(some), tensors.lanes, rows, shape[-1], dtype=torch.int16
        )
        for lane in steps.lanes:
            (seed, epoch), units = steps.keys[:, lane], int(tensors.dropped[name][lane])
            own = drawn(int(seed), int(epoch), plan.numbers[name], some, rows, units)
            numbers[:, lane, :, :units] = own
        found[name] = numbers.view(len(some), tensors.lanes, size, *shape)
    return found


def _drawn_there(tensors: LaneTensors, steps: Steps, some: range) -> dict[str, Tensor]:
    size, plan = tensors.course.batch_size, tensors.net.plan
    blocks = [blocks_of(units) for units in tensors.dropped.values()]
    whole = sent(torch.from_numpy(np.stack([*steps.keys, *blocks])), tensors.device)
    return {
        name: drawn_by_torch(
            whole[:2], own, plan.numbers[name], some, size * prod(shape[:-1]), shape[-1]
        ).reshape(len(some), tensors.lanes, size, *shape)
        for (name, shape), own in zip(tensors.units.items(), whole[2:], strict=True)
    }


def _losses(
    plan: Plan,
    state: State,
    x: Tensor,
    y: Tensor,
    rows: Tensor,
    smoothing: Tensor | None,
    weights: Tensor | None,
    mixed: bool,
) -> Tensor:
    """The mean loss of each lane on its rows, shape ``(lanes,)``."""
    logits = forward(plan, state, x[rows], mixed)
    return cross_entropy(logits, y[rows], smoothing, weights).mean(1)


def cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: Tensor | None, weights: Tensor | None
) -> Tensor:
    """The loss of each sample in nats, as `torch.nn.functional.cross_entropy` has it.

    Args:
        logits: shape ``(lanes, batch, classes)``.
        targets: shape ``(lanes, batch)``.
        smoothing: shape ``(lanes,)``; None where no lane smooths.
        weights: shape ``(lanes, classes)``; None where no lane weighs.

    Returns:
        Shape ``(lanes, batch)``.
    """
    # Classes before samples: a sum over a few classes is then a sum of long rows.
    log_p = torch.log_softmax(logits.transpose(1, 2).contiguous(), dim=1)
    if weights is not None:
        log_p = log_p * weights[:, :, None]
    loss = -log_p.gather(1, targets[:, None])[:, 0]
    if smoothing is None:
        return loss
    share = smoothing[:, None]
    return (1 - share) * loss - share / logits.shape[2] * log_p.sum(1)
