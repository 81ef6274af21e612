"""Dropout for many lanes on a CPU: torch draws a mask number by number, which took a fifth of a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from caviar.engines.called.lifting import Table


def _dropout(input: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """A number is kept with a chance of ``1 - p``, as by torch's own, up to 2^-32."""
    drawn = training and isinstance(p, float) and 0 < p < 1 and input.is_floating_point()
    if not drawn:
        return functional.dropout(input, p, training, inplace)
    # Under `vmap` this one number is another on each lane, and so are the masks that hang on it.
    seed = torch.randint(2**62, ())
    double = input.dtype == torch.float64
    kept = _kept(seed, list(input.shape), p, double).to(input.dtype)
    return input.mul_(kept) if inplace else input * kept


@torch.library.custom_op("caviar::kept", mutates_args=())
def _kept(seed: Tensor, shape: Sequence[int], p: float, double: bool) -> Tensor:
    """What dropout multiplies by: ``1 / (1 - p)`` where a number is kept, else 0.

    Args:
        seed: of one lane, shape ``()``, or of many, ``(lanes,)``, of which the first tells all masks.

    Returns:
        single or double precision, shape ``(*seed.shape, *shape)``.
    """
    whole = (*seed.shape, *shape)
    numbers = math.prod(whole)
    # An array of 64-bit numbers is drawn in half the time of one of 32.
    drawn = np.random.SFC64(int(seed.reshape(-1)[0])).random_raw(-(-numbers // 2))
    kept = drawn.view(np.uint32)[:numbers] >= np.uint32(p * 2**32)
    precision = np.float64 if double else np.float32
    scaled = np.multiply(kept, precision(1 / (1 - p)), dtype=precision)
    return torch.from_numpy(scaled).view(whole)


@_kept.register_vmap
def _(info: Any, in_dims: Any, seed: Tensor, *rest: Any) -> tuple[Tensor, int]:
    return _kept(seed, *rest), 0


DROPPING: Table = {functional.dropout: _dropout}
"""Dropout drawn from numpy's generator, seeded by torch's."""
