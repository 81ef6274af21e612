"""A stack's forward and backward pass as one compiled graph, where there is a compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from caviar.engines.fused.native import compiler


def can_compile(device: str) -> bool:
    """Whether torch finds what it needs: a C++ compiler for the CPU, its own Triton for a GPU."""
    if device != "cpu":
        return True
    return compiler() is not None


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, compiled for each shape that it is called with."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    inductor.compile_threads = 1  # a worker starts no processes of its own
    dynamo.recompile_limit = 64  # one for each kind of trial, and a last batch that is not full
    return torch.compile(function, dynamic=False)
