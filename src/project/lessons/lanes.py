"""Many small networks trained side by side, each with its own settings: what the lessons need.

A lane is one network. Weights are stacked, ``(lanes, in, out)``; the loss is summed over lanes, so
that no lane's gradient touches another's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MOMENTUM = 0.1
"""Share of the newest batch in batch norm's running statistics."""
AT_ONCE = 250
"""Lanes that are trained at once, for the caches' sake."""


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The digits: training features and classes, validation features and classes."""
    from project.data.digits import Digits

    parts = Digits().parts
    return (*parts.train, *parts.val)


class Lanes:
    """Networks Linear -> batch norm -> tanh a hidden layer, then logits.

    Args:
        settings: by name, a number for all lanes or one a lane: ``lr``, ``momentum`` (Adam's β1),
            ``eps``, ``weight_decay``.
        norm: ``none``, ``before`` or ``after`` the activation.
    """

    def __init__(
        self,
        lanes: int,
        seed: int,
        hidden: Sequence[int] = (32,),
        optimizer: str = "adam",
        norm: str = "none",
        batch_size: int = 64,
        **settings: Any,
    ) -> None:
        self.x, self.y, self.val_x, self.val_y = digits()
        self.lanes, self.optimizer, self.norm = lanes, optimizer, norm
        self.batch_size = batch_size
        self._random = torch.Generator().manual_seed(seed)
        plain = {"lr": 1e-2, "momentum": 0.9, "eps": 1e-8, "weight_decay": 0.0, **settings}
        self.settings = {
            name: torch.as_tensor(value, dtype=torch.float32).expand(lanes).clone()[:, None, None]
            for name, value in plain.items()
        }
        sizes = [self.x.shape[1], *hidden, 10]
        self._layers = len(sizes) - 1
        self.params: list[Tensor] = []
        self.running: list[tuple[Tensor, Tensor]] = []
        for fan_in, fan_out in pairwise(sizes):
            first = torch.randn(lanes, fan_in, fan_out, generator=self._random)
            self.params += [first / fan_in**0.5, torch.zeros(lanes, 1, fan_out)]
            if norm != "none" and fan_out != 10:
                self.params += [torch.ones(lanes, 1, fan_out), torch.zeros(lanes, 1, fan_out)]
                zero, one = torch.zeros(lanes, 1, fan_out), torch.ones(lanes, 1, fan_out)
                self.running.append((zero, one))
        for param in self.params:
            param.requires_grad_(True)
        self._means = [torch.zeros_like(param) for param in self.params]
        self._squares = [torch.zeros_like(param) for param in self.params]
        self._order = torch.empty(lanes, 0, dtype=torch.long)
        self.steps = 0

    def logits(self, x: Tensor, train: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Logits ``(lanes, batch, 10)`` for ``x`` ``(lanes, batch, 64)``, and each layer's inputs."""
        params, inputs = iter(self.params), []
        for layer in range(self._layers):
            weight, bias = next(params), next(params)
            inputs.append(x)
            x = torch.baddbmm(bias, x, weight)
            if layer == self._layers - 1:
                break
            x = x.tanh() if self.norm == "after" else x
            if self.norm != "none":
                x = self._normed(x, layer, train) * next(params) + next(params)
            x = x if self.norm == "after" else x.tanh()
        return x, inputs

    def advance(self, steps: int) -> None:
        """Train for ``steps`` batches."""
        for _ in range(steps):
            index = self._next_batch()
            logits, _ = self.logits(self.x[index], train=True)
            loss = functional.cross_entropy(
                logits.flatten(0, 1), self.y[index].flatten(), reduction="sum"
            )
            grads = torch.autograd.grad(loss / self.batch_size, self.params)
            with torch.no_grad():
                self._update(grads)

    def epochs(self, count: int) -> None:
        """Train for ``count`` times the training part."""
        self.advance(count * (len(self.x) // self.batch_size))

    @torch.no_grad()
    def loss(self, part: str = "val", worst: float = math.log(10)) -> np.ndarray:
        """The mean loss of each lane, in nats, shape ``(lanes,)``; at most ``worst``, as no number is."""
        x, y = (self.val_x, self.val_y) if part == "val" else (self.x, self.y)
        logits, _ = self.logits(x.expand(self.lanes, -1, -1))
        losses = functional.cross_entropy(
            logits.flatten(0, 1), y.repeat(self.lanes), reduction="none"
        )
        mean = losses.view(self.lanes, -1).mean(1)
        return torch.nan_to_num(mean, worst, worst, worst).clamp(max=worst).double().numpy()

    def state(self) -> list[Tensor]:
        """A copy of all that training changes, to `restore`."""
        return [tensor.detach().clone() for tensor in self._tensors()]

    @torch.no_grad()
    def restore(self, state: list[Tensor], lanes: np.ndarray) -> None:
        """Put ``lanes`` (a mask) back to what they were."""
        mask = torch.from_numpy(lanes)
        for tensor, before in zip(self._tensors(), state, strict=True):
            tensor[mask] = before[mask]

    def _tensors(self) -> list[Tensor]:
        running = [tensor for pair in self.running for tensor in pair]
        return [*self.params, *self._means, *self._squares, *running]

    def _normed(self, x: Tensor, layer: int, train: bool) -> Tensor:
        mean, var = self.running[layer]
        if train:
            now, spread = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
            with torch.no_grad():
                mean.lerp_(now, MOMENTUM)
                var.lerp_(spread, MOMENTUM)
            mean, var = now, spread
        return (x - mean) * (var + 1e-5).rsqrt()

    def _next_batch(self) -> Tensor:
        if self._order.shape[1] < self.batch_size:
            order = torch.rand(self.lanes, len(self.x), generator=self._random)
            self._order = order.argsort(1)
        index, self._order = self._order.tensor_split([self.batch_size], dim=1)
        return index

    def _update(self, grads: Sequence[Tensor]) -> None:
        self.steps += 1
        lr, beta, eps, decay = (
            self.settings[name] for name in ("lr", "momentum", "eps", "weight_decay")
        )
        parts = zip(self.params, grads, self._means, self._squares, strict=True)
        for param, grad, mean, square in parts:
            grad = grad + decay * param
            if self.optimizer == "sgd":
                mean.mul_(beta).add_(grad)
                param -= lr * mean
                continue
            mean.mul_(beta).add_((1 - beta) * grad)
            square.mul_(0.999).addcmul_(grad, grad, value=0.001)
            root = (square / (1 - 0.999**self.steps)).sqrt()
            param -= lr * mean / (1 - beta**self.steps) / (root + eps)


def without_and_with(measure: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """What ``measure`` gives for ``norm`` at ``none`` and ``before``: without and with batch norm."""
    return {norm: measure(norm) for norm in ("none", "before")}


def final_losses(epochs: int, seed: int, **settings: Any) -> np.ndarray:
    """Train a lane for each entry of the arrays in ``settings``; their validation losses."""
    arrays = {name: value for name, value in settings.items() if isinstance(value, np.ndarray)}
    count = len(next(iter(arrays.values())))
    found = []
    for start in range(0, count, AT_ONCE):
        part = {name: value[start : start + AT_ONCE] for name, value in arrays.items()}
        size = len(next(iter(part.values())))
        lanes = Lanes(size, seed + start, **{**settings, **part})
        lanes.epochs(epochs)
        found.append(lanes.loss())
    return np.concatenate(found)
