"""The backends of a stack by name: what `auto` has measured to be the fastest is kept by it."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from caviar.base.errors import name_and_text
from caviar.engines.gpu import gpu_lost, out_of_memory
from caviar.engines.kernel.backend import ByKernel
from caviar.engines.lanes.stack import Stack
from caviar.engines.native.loop import Native
from caviar.engines.stacked.backend import Backend, ByTorch
from caviar.engines.stacked.graph import ByGraph

log = logging.getLogger(__name__)

_COMPARED = 3
"""Steps by which a backend is held against torch before it is taken."""

_ROUNDING = 0.05
"""How far it may come away from it, as a share of the way: Adam steps by the sign of what is all but 0."""

BACKENDS: dict[str, tuple[type[Backend], str]] = {
    "torch": (ByTorch, "by torch, step by step"),
    "native": (Native, "in C++"),
    "graph": (ByGraph, "by a CUDA graph"),
    "kernel": (ByKernel, "by a kernel, each in a multiprocessor"),
}
"""And how their lanes are trained, in words."""


def by_others(stack: Stack) -> dict[str, float]:
    """Seconds of a lane's step by what there is on a GPU alone; what fails there is told, and not taken."""
    found: dict[str, float] = {}
    if stack.device != "cuda":
        return found
    wanted = stack.moved(_COMPARED)
    for name in ("graph", "kernel"):
        backend, words = BACKENDS[name]
        try:
            why = stack.use(backend)
            if why is None and (off := _apart(stack.moved(_COMPARED), wanted)) > _ROUNDING:
                why = f"it comes {off:.2g} away from what torch does"
            if why is None:
                found[name] = stack.rehearse() / stack.lanes
        except Exception as error:
            if out_of_memory(error) or gpu_lost(error):
                raise
            why = name_and_text(error)
        if why is not None:
            log.info("not %s: %s", words, why)
    return found


def _apart(found: Tensor, wanted: Tensor) -> float:
    """How far lanes have come apart at most, as a share of their way; 1 where one is no number."""
    off = torch.linalg.vector_norm(found - wanted, dim=1)
    way = torch.linalg.vector_norm(wanted, dim=1).clamp(min=torch.finfo(wanted.dtype).tiny)
    return float((off / way).nan_to_num(1.0).max())
