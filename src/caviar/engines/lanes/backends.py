"""The backends of a stack by name: what `auto` has measured to be the fastest is kept by it."""

from __future__ import annotations

from caviar.engines.kernel.backend import ByKernel
from caviar.engines.native.loop import Native
from caviar.engines.stacked.backend import Backend, ByTorch
from caviar.engines.stacked.graph import ByGraph

BACKENDS: dict[str, tuple[type[Backend], str]] = {
    "torch": (ByTorch, "by torch, step by step"),
    "native": (Native, "in C++"),
    "graph": (ByGraph, "by a CUDA graph"),
    "kernel": (ByKernel, "by a kernel, each in a multiprocessor"),
}
"""And how their lanes are trained, in words."""
