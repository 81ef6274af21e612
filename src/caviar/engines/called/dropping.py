"""Dropout for many lanes on a CPU: torch draws a mask number by number, which took a fifth of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch.nn import functional

from caviar.engines.called.folding import closed, on_lanes, opened
from caviar.engines.called.lifting import Table
from caviar.engines.called.tape import as_one


def _dropout(input: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """A number is kept with a chance of ``1 - p``, as by torch's own, up to 2^-16 or less."""
    drawn = training and isinstance(p, float) and 0 < p < 1 and input.is_floating_point()
    own = on_lanes(input)
    if not drawn or (_functorch.is_functorch_wrapped_tensor(input) and not own):
        return functional.dropout(input, p, training, inplace)
    # Under `vmap` this one number is another on each lane: the first's tells all masks.
    seed = torch.randint(2**62, ())
    if not on_lanes(seed):  # further in, by a `vmap` of the step's own
        return functional.dropout(input, p, training, inplace)
    seeds = opened(seed, 0)
    if own:
        at = _functorch.maybe_get_bdim(input)
        like = _functorch.get_unwrapped(input)
    else:
        at, like = 0, input.expand(len(seeds), *input.shape)
    kept = closed(as_one(_kept, seeds, like.detach(), p), at)
    return input.mul_(kept) if inplace else input * kept


def _kept(seeds: Tensor, like: Tensor, p: float) -> Tensor:
    """What dropout multiplies by: ``1 / (1 - p)`` where a number is kept, else 0; laid out as ``like``."""
    double = like.dtype == torch.float64
    masks = torch.empty_like(like, dtype=torch.float64 if double else torch.float32)
    numbers = masks.numel()
    bits = (
        16 if 0.01 < p < 0.99 else 32
    )  # half as many to draw; of other chances they say too little
    words = -(-numbers * bits // 64)
    drawn = np.random.SFC64(int(seeds[0])).random_raw(words).view(f"u{bits // 8}")[:numbers]
    precision = np.float64 if double else np.float32
    flat = masks.as_strided((numbers,), (1,)).numpy()
    np.multiply(drawn >= drawn.dtype.type(p * 2**bits), precision(1 / (1 - p)), out=flat)
    return masks.to(like.dtype)


DROPPING: Table = {functional.dropout: _dropout}
"""Dropout drawn from numpy's generator, seeded by torch's."""
