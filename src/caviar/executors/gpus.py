"""Which GPUs there are, asked of the driver: CUDA is not woken up."""

from __future__ import annotations

import itertools
import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from caviar.base.deadlines import within
from caviar.base.errors import UsageError, usage_error

log = logging.getLogger(__name__)

_GIB = 2**30

_PATIENCE = 30.0
"""Seconds for the driver to answer in; it takes some where nobody has asked for long."""

_KFD = Path("/dev/kfd")
"""The device of AMD's driver."""

_Found = TypeVar("_Found")


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by index or UUID.

    ``CUDA_VISIBLE_DEVICES`` is respected as CUDA reads it: what follows ``-1`` is hidden. A name
    that stands there twice is one GPU. Of a card that is cut into MIG instances these are what there is,
    by UUID: CUDA counts none but the first. The empty list where there is no NVIDIA driver.

    Raises:
        UsageError: the driver does not answer.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        shown = itertools.takewhile(lambda name: name not in ("", "-1"), names)
        return list(dict.fromkeys(shown))
    from pynvml import NVMLError

    with suppress(NVMLError):
        return _asked(_names)
    return []


def with_room(gpus: Sequence[str], gib: object) -> list[str]:
    """Those of some GPUs that have so much memory free; which are left out, is logged.

    Raises:
        UsageError: it is no such number, none has so much, or the driver does not say.
    """
    if isinstance(gib, bool) or not isinstance(gib, int | float) or not 0 < gib < float("inf"):
        raise usage_error("executor.gpu_memory", gib, "must be GiB, a number above 0")
    from pynvml import NVMLError

    try:
        free = _asked(
            lambda nvml: {
                gpu: nvml.nvmlDeviceGetMemoryInfo(_handle(nvml, gpu)).free for gpu in gpus
            }
        )
    except NVMLError as error:
        why = f"the driver does not say what is free: {error}"
        raise usage_error("executor.gpu_memory", gib, why) from error
    found = [gpu for gpu in gpus if free[gpu] >= gib * _GIB]
    left = [f"{gpu} ({free[gpu] / _GIB:.1f} GiB free)" for gpu in gpus if gpu not in found]
    if not found:
        raise usage_error("executor.gpu_memory", gib, f"no GPU has so much free: {', '.join(left)}")
    if left:
        log.warning("GPUs left out, executor.gpu_memory=%g: %s", gib, ", ".join(left))
    return found


def how_shared() -> str:
    """How processes share a GPU here, in a line: by NVIDIA's MPS daemon, or in turns."""
    if mps_daemon():
        return "workers share a GPU by NVIDIA's MPS daemon: side by side"
    start = "`nvidia-cuda-mps-control -d` starts it"
    return f"workers share a GPU in turns, for NVIDIA's MPS daemon is not seen ({start})"


def mps_daemon() -> bool:
    """Whether NVIDIA's MPS daemon runs where CUDA will look for it."""
    folder = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or "/tmp/nvidia-mps")
    try:
        os.kill(int((folder / "nvidia-cuda-mps-control.pid").read_text()), 0)
    except PermissionError:
        return True  # somebody else's
    except (OSError, ValueError, OverflowError):
        return False
    return (folder / "control").exists()


def others() -> str | None:
    """What there is of a GPU that is not NVIDIA's, and what takes it, in a line."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple's GPU is for a Trainer (engine=solo trainer=mps): lanes compute on the CPU"
    if _KFD.exists():
        named = "CUDA_VISIBLE_DEVICES=0,1, which HIP reads too"
        return f"AMD's GPUs are shared out where they are named ({named}); tried on none yet"
    return None


def _asked(question: Callable[[Any], _Found]) -> _Found:
    """What the driver answers."""

    def ask() -> _Found:
        import pynvml

        pynvml.nvmlInit()
        try:
            return question(pynvml)
        finally:
            pynvml.nvmlShutdown()

    try:
        return within(_PATIENCE, ask)
    except TimeoutError:
        why = f"NVIDIA's driver has not answered for {_PATIENCE:g} s (does nvidia-smi?)"
        raise UsageError(f"{why}; executor.gpus_per_trial=0 leaves it alone") from None


def _names(nvml: Any) -> list[str]:
    found: list[str] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        card = nvml.nvmlDeviceGetHandleByIndex(index)
        try:
            cut, _ = nvml.nvmlDeviceGetMigMode(card)
        except nvml.NVMLError:
            cut = False  # no card of a kind that can be
        if not cut:
            found.append(str(index))
            continue
        for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
            with suppress(nvml.NVMLError):  # nothing at this place
                uuid = nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, place))
                found.append(uuid.decode() if isinstance(uuid, bytes) else uuid)
    return found


def _handle(nvml: Any, gpu: str) -> Any:
    if gpu.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(gpu))
    return nvml.nvmlDeviceGetHandleByUUID(gpu)
