"""Dropout whose masks hang on seed, epoch and step: a Trainer's are those of a lane, on any device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from caviar.engines.philox import drawn


@dataclass
class Place:
    """Where a training is, for those of its layers that draw.

    Attributes:
        seed: the training's, and ``epoch``.
        step: the batch's number in the epoch.
        process: which of those that train one network together.
        begun: how many steps were begun: one that is done again, after a rollback, is begun again.
    """

    seed: int
    epoch: int = 0
    step: int = 0
    process: int = 0
    begun: int = 0

    def at(self, epoch: int, step: int) -> None:
        """A step begins."""
        self.epoch, self.step, self.begun = epoch, step, self.begun + 1


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` whose mask in a training that `begin` placed is a function of the place.

    Each number of a sample is 0 with the chance ``p``, in steps of 2**-16; the others are scaled up. Where
    no training placed it, it draws from torch's generator, as `torch.nn.Dropout`.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(p, inplace)
        self._place: Place | None = None
        self._number = 0
        self._called: tuple[int, int] = (-1, 0)

    def draw_at(self, place: Place | None, number: int = 0) -> None:
        """From now on, masks are those of ``place``, for the layer of this number; None: torch's own."""
        self._place, self._number, self._called = place, number, (-1, 0)

    def forward(self, input: Tensor) -> Tensor:
        """``input`` of shape ``(batch, …)``, and as much comes out."""
        if self._place is None or not self.training:
            return super().forward(input)
        factors = self.factors(input.detach(), self._place)
        return input.mul_(factors) if self.inplace else input * factors

    def factors(self, x: Tensor, place: Place) -> Tensor:
        """What ``x`` is multiplied by in this call of the layer; of its shape."""
        units, call = x.shape[-1], self._call(place)
        rows = x.numel() // max(1, units)
        steps = range(place.step, place.step + 1)
        bits = drawn(
            place.seed, place.epoch, self._number, steps, rows, units, call, place.process
        ).view(x.shape)
        limit, scale = _limit_and_scale(self.p, x.dtype == torch.float64)
        return (bits >= limit).to(scale.dtype).mul_(scale).to(x.device, x.dtype)

    def _call(self, place: Place) -> int:
        """How often it was called in this step before: a second pass is to have another mask."""
        begun, calls = self._called
        calls = calls if begun == place.begun else 0
        self._called = (place.begun, calls + 1)
        return calls


def factors(bits: Tensor, p: Tensor) -> Tensor:
    """What a dropout layer multiplies by: 0 with the chance ``p``, else ``1 / (1 - p)``.

    Args:
        bits: 16-bit integers, uniform on [-32768, 32767].
        p: of a shape that goes with theirs.
    """
    # Compared with their own kind, they are not widened.
    return (bits >= limit_of(p)).to(p.dtype) * (1 / (1 - p))


def limit_of(p: Tensor) -> Tensor:
    """The 16-bit number below which a unit is 0, with the chance ``p``."""
    return (p * 65536 - 32768).round().clamp(max=32767).to(torch.int16)


@lru_cache(maxsize=64)
def _limit_and_scale(p: float, double: bool) -> tuple[Tensor, Tensor]:
    own = torch.tensor(p, dtype=torch.float64 if double else torch.float32)
    return limit_of(own), 1 / (1 - own)


def begin(module: nn.Module, place: Place) -> None:
    """From now on the masks of a module's `Dropout` layers are those of ``place``, as that changes."""
    for layer, number in _layers(module):
        layer.draw_at(place, number)


def never_compiled(module: nn.Module) -> None:
    """Have its layers draw beside what `torch.compile` makes of it, or each step would be compiled anew."""
    for layer, _ in _layers(module):
        layer.factors = torch.compiler.disable(layer.factors)


def end(module: nn.Module) -> None:
    """From now on its layers draw from torch's generator."""
    for layer, _ in _layers(module):
        layer.draw_at(None)


def numbers_of(network: nn.Module) -> dict[str, int]:
    """The dropout layers of a network, of torch's kind too, and their numbers."""
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Dropout)]
    return {name: number for number, name in enumerate(names)}


def _layers(module: nn.Module) -> list[tuple[Any, int]]:
    numbers = numbers_of(module)
    return [
        (layer, numbers[name])
        for name, layer in module.named_modules()
        if isinstance(layer, Dropout)
    ]
