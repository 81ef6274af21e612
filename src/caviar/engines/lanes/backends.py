"""The backends of a stack by name: what `auto` has measured to be the fastest is kept by it."""

from __future__ import annotations

import logging

from caviar.base.errors import name_and_text
from caviar.engines.gpu import gpu_lost, out_of_memory
from caviar.engines.kernel.backend import ByKernel
from caviar.engines.lanes.stack import Stack
from caviar.engines.native.loop import Native
from caviar.engines.stacked.backend import Backend, ByTorch
from caviar.engines.stacked.graph import ByGraph
from caviar.engines.stacked.recording import ROUNDING, apart

log = logging.getLogger(__name__)

_COMPARED = 3
"""Steps by which a backend is held against torch before it is taken."""

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
            if why is None and (off := apart(stack.moved(_COMPARED), wanted)) > ROUNDING:
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
