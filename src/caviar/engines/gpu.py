"""How long a step takes on a device; which of two things went wrong on a GPU: no memory, or a GPU lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Any

from caviar.base.deadlines import within
from caviar.base.errors import UsageError, causes, name_and_text
from caviar.base.machine import TENANTS

_PATIENCE = 120.0
"""Seconds for a process's first call: a node of eight cards takes many of them."""

_NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU, and the loop in C++
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What errors say that are no `torch.OutOfMemoryError`, but the same."""


def out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory, by torch's allocator, a library of the GPU's, or the loop in C++."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and told_no_memory(str(error))
    )


def told_no_memory(text: str) -> bool:
    """The same of an error's name and text."""
    return "OutOfMemory" in text or any(words in text for words in _NO_MEMORY)


def gpu_lost(error: BaseException) -> bool:
    """Whether this process can use its GPU no more: after some errors every later call gives them again.

    A trial that raises one may not have caused it, and the next will fail by it. So whoever finds this
    ends the process; its trials go on in another, from their last checkpoints.
    """
    torch = sys.modules.get("torch")
    if torch is None or not any(isinstance(one, torch.AcceleratorError) for one in causes(error)):
        return False
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError as still:
        return not isinstance(still, torch.OutOfMemoryError)
    return False


class GpuLostError(RuntimeError):
    """This process has lost its GPU, by the error that is its cause."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"this process can use its GPU no more: {name_and_text(error)}")


def wake() -> None:
    """Wake the GPU up for this process, which is where a driver hangs, if it does.

    Raises:
        UsageError: it does.
    """
    import torch

    try:
        within(_PATIENCE, torch.cuda.synchronize)
    except TimeoutError:
        text = f"the GPU's driver has not answered for {_PATIENCE:g} s (does nvidia-smi?)"
        raise UsageError(f"{text}; executor.gpus_per_trial=0 leaves it alone") from None
    except RuntimeError:
        return  # a trial says it better


def free_memory() -> float:
    """Bytes of the GPU that this process may hope for: what is free, but no more than its share."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return min(free, total / max(1, int(os.environ.get(TENANTS) or 1)))


def least_seconds(step: Callable[[], Any], device: str) -> float:
    """The least time of a step, over some after the first two: others on the machine only add to it.

    On one thread it is the time that this thread had a processor: others are then no part of it.
    """
    import torch

    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = thread_time if alone else perf_counter
    times: list[float] = []
    for number in range(22):
        began = clock()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        if number > 1:
            times.append(clock() - began)
        if len(times) > 2 and sum(times) > 0.05:
            break
    return min(times)
