"""Which GPUs there are, as the driver tells it: CUDA is not woken up."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from caviar.base.errors import usage_error

log = logging.getLogger(__name__)

_GIB = 2**30


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by index or UUID.

    ``CUDA_VISIBLE_DEVICES`` is respected as CUDA reads it: what follows ``-1`` is hidden. A name
    that stands there twice is one GPU. Of a card that is cut into MIG instances these are what there is,
    by UUID: CUDA counts none but the first. The empty list where there is no NVIDIA driver.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        shown = itertools.takewhile(lambda name: name not in ("", "-1"), names)
        return list(dict.fromkeys(shown))
    with suppress(_errors()), _driver() as nvml:
        return [name for index in range(nvml.nvmlDeviceGetCount()) for name in _names(nvml, index)]
    return []


def with_room(gpus: Sequence[str], gib: object) -> list[str]:
    """Those of some GPUs that have so much memory free; which are left out, is logged.

    Args:
        gib: GiB.

    Raises:
        UsageError: it is no such number, none has so much, or the driver does not tell.
    """
    if isinstance(gib, bool) or not isinstance(gib, int | float) or not 0 < gib < float("inf"):
        raise usage_error("executor.gpu_memory", gib, "must be GiB, a number above 0")
    try:
        with _driver() as nvml:
            free = {gpu: nvml.nvmlDeviceGetMemoryInfo(_handle(nvml, gpu)).free for gpu in gpus}
    except _errors() as error:
        why = f"the driver does not tell what is free: {error}"
        raise usage_error("executor.gpu_memory", gib, why) from error
    found = [gpu for gpu in gpus if free[gpu] >= gib * _GIB]
    left = [f"{gpu} ({free[gpu] / _GIB:.1f} GiB free)" for gpu in gpus if gpu not in found]
    if not found:
        raise usage_error("executor.gpu_memory", gib, f"no GPU has so much free: {', '.join(left)}")
    if left:
        log.warning("GPUs left out, executor.gpu_memory=%g: %s", gib, ", ".join(left))
    return found


def is_instance(gpu: str) -> bool:
    """Whether it is a MIG instance, of which a process can have one alone."""
    return gpu.startswith("MIG-")


def _errors() -> Any:
    import pynvml

    return pynvml.NVMLError


@contextmanager
def _driver() -> Iterator[Any]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _names(nvml: Any, index: int) -> list[str]:
    card, found = nvml.nvmlDeviceGetHandleByIndex(index), []
    try:
        cut, _ = nvml.nvmlDeviceGetMigMode(card)
    except nvml.NVMLError:
        cut = False  # no card of a kind that can be
    if not cut:
        return [str(index)]
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        with suppress(nvml.NVMLError):  # nothing at this place
            uuid = nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, number))
            found.append(uuid.decode() if isinstance(uuid, bytes) else uuid)
    return found


def _handle(nvml: Any, gpu: str) -> Any:
    if gpu.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(gpu))
    return nvml.nvmlDeviceGetHandleByUUID(gpu)
