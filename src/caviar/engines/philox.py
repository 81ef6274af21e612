"""Random bits that hang on their place alone: Philox 4x64 in ten rounds, by numpy, torch, and `loop.cpp`.

The generator is that of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC
2011); what numpy's `Philox` gives is the measure for the other two. A block of 256 bits is 16 numbers of 16
bits, the lowest first. A row of units begins with a block of its own, so that rows may be padded.

=========  ======================================================================
key        seed; epoch
counter    step * 2**32 + row * blocks a row + block + 1; layer; call; process
=========  ======================================================================
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMBERS = 16
"""In a block."""

_STEP = 1 << 32
_WORD = 1 << 64
_LOW = 0xFFFFFFFF
_FACTORS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10


def blocks_of(units: Any) -> Any:
    """Blocks that a row of so many units takes."""
    return -(-units // NUMBERS)


def signed(word: int) -> int:
    """A whole number, of which the lowest 64 bits count, as torch holds them."""
    word %= _WORD
    return word - _WORD if word >= _WORD // 2 else word


def drawn(
    seed: int,
    epoch: int,
    layer: int,
    steps: range,
    rows: int,
    units: int,
    call: int = 0,
    process: int = 0,
) -> Tensor:
    """16-bit integers, uniform on [-32768, 32767], shape ``(steps, rows, units)``, on the host.

    Args:
        steps: of the epoch, one after the other.
        rows: of each step; ``units``: of each row.
        layer: which of the network's dropout layers; ``call``: how often it was called in a step before.
        process: which of those that train one network together.
    """
    blocks = blocks_of(units)
    key = np.array([seed % _WORD, epoch], dtype=np.uint64)
    counter = np.array([steps.start * _STEP, layer, call, process], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=counter)
    found = np.empty((len(steps), rows * blocks * 4), dtype=np.uint64)
    for number, row in enumerate(found):
        if number:
            generator.advance(_STEP - rows * blocks)
        row[:] = generator.random_raw(rows * blocks * 4)
    numbers = found.view(np.int16).reshape(len(steps), rows, blocks * NUMBERS)
    return torch.from_numpy(numbers)[..., :units]


def drawn_by_torch(
    keys: Tensor, blocks: Tensor, layer: int, steps: range, rows: int, units: int
) -> Tensor:
    """The same for many lanes on their device, shape ``(steps, lanes, rows, units)``.

    Args:
        keys: the lanes' seeds and epochs, as `signed`, ``(2, lanes)``.
        blocks: of each lane's rows, ``(lanes,)``: no lane has more units than ``units``.
    """
    device, most, lanes = keys.device, blocks_of(units), keys.shape[1]
    step = torch.arange(steps.start, steps.stop, device=device).view(-1, 1, 1, 1) * _STEP
    row = torch.arange(rows, device=device).view(-1, 1) * blocks.view(-1, 1, 1)
    first = step + row + torch.arange(1, most + 1, device=device)
    fixed = torch.zeros_like(first)
    even = torch.stack([first, fixed])  # counters 0 and 2
    odd = torch.stack([fixed + layer, fixed])  # 1 and 3
    words = _philox(even, odd, keys.view(2, 1, lanes, 1, 1))
    return words.view(torch.int16).view(len(steps), lanes, rows, most * NUMBERS)[..., :units]


def _philox(even: Tensor, odd: Tensor, key: Tensor) -> Tensor:
    """The four words of each block, ``(…, 4)``, from two of its counter's each, ``(2, …)``."""
    whole, low, high, weyl = _constants(str(even.device), even.ndim)
    for number in range(_ROUNDS):
        if number:
            key = key + weyl
        other = (_upper(even, low, high).flip(0) ^ odd).bitwise_xor_(key)
        odd = (even * whole).flip(0)
        even = other
    return torch.stack([even[0], odd[0], even[1], odd[1]], dim=-1)


def _upper(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The upper 64 bits of a product with ``high * 2**32 + low``, which torch has no function for."""
    x_low, x_high = x & _LOW, _shifted(x)
    middle = (x_high * low).add_(_shifted(x_low * low))
    other = (x_low * high).add_(middle & _LOW)
    return (x_high * high).add_(_shifted(middle)).add_(_shifted(other))


def _shifted(x: Tensor) -> Tensor:
    return (x >> 32).bitwise_and_(_LOW)  # the sign is a digit here


@cache
def _constants(device: str, dims: int) -> list[Tensor]:
    """The factors, their lower and upper halves, and what keys grow by, ``(2, 1, …)``."""
    pairs = [_FACTORS, [f & _LOW for f in _FACTORS], [f >> 32 for f in _FACTORS], _WEYL]
    shape = (2, *[1] * (dims - 1))
    return [torch.tensor([signed(w) for w in pair], device=device).view(shape) for pair in pairs]
