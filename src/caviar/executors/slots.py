"""Slots: which share of the machine each worker has, decided before any worker starts."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from caviar.base.errors import usage_error
from caviar.base.machine import TENANTS
from caviar.executors.gpus import how_shared, others, visible_gpus, with_room

log = logging.getLogger(__name__)

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Where numerical libraries read, as they are loaded, how many threads they may have."""

_SHARE = "must be 0, 1/n or a whole number"
_TENANTS = 1000  # more processes than this no GPU can hold


@dataclass(frozen=True)
class Slot:
    """A share of the machine that one worker occupies.

    Attributes:
        label: what a person calls it (``cpu:0``, ``gpu:1``, ``gpu:0#2`` for the second on one GPU).
        env: environment variables that hold a process to it, set before torch is imported.
        shared: whether other workers are on the same GPU.
    """

    label: str
    env: dict[str, str]
    shared: bool = False


def plan(
    workers: int | None,
    gpus_per_trial: float | None = None,
    threads: int | None = None,
    devices: Sequence[object] | None = None,
    gpu_memory: float | None = None,
) -> list[Slot]:
    """Share out the machine.

    With GPUs, a worker gets ``gpus_per_trial`` of them, whole ones or a fraction of one; no GPU gets
    more workers than fit. Without, a worker gets ``threads`` CPU threads.

    Args:
        workers, gpus_per_trial, threads, devices, gpu_memory: see `caviar.executors.local.LocalExecutor`.

    Raises:
        UsageError: more workers than fit, a share that is neither 1/n nor whole, or GPUs that are
            not there.
    """
    _check_numbers(workers, gpus_per_trial, threads)
    if devices is not None and (isinstance(devices, str) or not isinstance(devices, Sequence)):
        raise usage_error("executor.devices", devices, "must be a list, as in [0,1]")
    gpus = [] if gpus_per_trial == 0 else _chosen(devices)
    if gpu_memory is not None and gpus_per_trial != 0:
        gpus = with_room(gpus, gpu_memory)
    if gpus_per_trial and not gpus:
        raise usage_error("executor.gpus_per_trial", gpus_per_trial, "no GPU is visible here", [0])
    if gpus_per_trial != 0 and not gpus and (line := others()):
        log.info("%s", line)
    gpus_per_trial = 1 if gpus_per_trial is None else gpus_per_trial
    shares = _gpu_shares(gpus, gpus_per_trial) if gpus else []
    if gpus and workers is not None and workers > len(shares):
        raise usage_error(
            "executor.workers",
            workers,
            f"only {len(shares)} fit on {len(gpus)} GPUs at gpus_per_trial={gpus_per_trial:g}",
        )
    cores = usable_cores()
    count = workers or len(shares) or max(cores // (threads or 1), 1)
    cpu_env = dict.fromkeys(THREADS, str(threads or max(cores // count, 1)))
    if shares:
        shared = gpus_per_trial < 1
        if shared:
            log.info("%s", how_shared())
        tenants = {TENANTS: str(round(1 / gpus_per_trial))} if shared else {}
        return [
            Slot(
                f"gpu:{share}#{shares[:index].count(share) + 1}" if shared else f"gpu:{share}",
                {**cpu_env, **_gpu_env(share), **tenants},
                shared,
            )
            for index, share in enumerate(shares[:count])
        ]
    # A worker without a GPU share must not find one: trials would pile up on the first.
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    return [Slot(f"cpu:{index}", {**cpu_env, **hidden}) for index in range(count)]


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_numbers(workers: object, gpus_per_trial: object, threads: object) -> None:
    for name, value in (("workers", workers), ("threads", threads)):
        if value is None:
            continue
        if type(value) is not int:
            raise usage_error(f"executor.{name}", value, "must be a whole number")
        if value < 1:
            raise usage_error(f"executor.{name}", value, "must be at least 1")
    if gpus_per_trial is not None and (
        isinstance(gpus_per_trial, bool)
        or not isinstance(gpus_per_trial, int | float)
        or not math.isfinite(gpus_per_trial)
    ):
        raise usage_error("executor.gpus_per_trial", gpus_per_trial, _SHARE)


def _chosen(devices: Sequence[object] | None) -> list[str]:
    visible = visible_gpus()
    if devices is None:
        return visible
    chosen = list(dict.fromkeys(str(device) for device in devices))
    for device in chosen:
        if device not in visible:
            raise usage_error("executor.devices", device, "no such GPU is visible", visible)
    return chosen


def _gpu_shares(gpus: list[str], per_trial: float) -> list[str]:
    if 0 < per_trial < 1:
        tenants = round(1 / per_trial)
        if tenants > _TENANTS:
            raise usage_error(
                "executor.gpus_per_trial", per_trial, f"must be at least 1/{_TENANTS}"
            )
        if abs(1 / per_trial - tenants) > 1e-6 * tenants:
            raise usage_error("executor.gpus_per_trial", per_trial, "a fraction must be 1/n")
        # Round robin, so that with fewer workers than shares every GPU has some.
        return [gpu for _ in range(tenants) for gpu in gpus]
    whole = int(per_trial)
    if whole != per_trial or whole < 1:
        raise usage_error("executor.gpus_per_trial", per_trial, _SHARE)
    if whole > len(gpus):
        raise usage_error("executor.gpus_per_trial", whole, f"there are only {len(gpus)} GPUs")
    if whole > 1 and any(gpu.startswith("MIG-") for gpu in gpus):
        why = "a process can have one MIG instance alone"
        raise usage_error("executor.gpus_per_trial", whole, why, [1])
    return [
        ",".join(gpus[first : first + whole]) for first in range(0, len(gpus) - whole + 1, whole)
    ]


def _gpu_env(share: str) -> dict[str, str]:
    # NVML counts GPUs in bus order; CUDA must count the same way for an index to mean the same card.
    # Indices in CUDA_VISIBLE_DEVICES are CUDA's own.
    counted = "CUDA_VISIBLE_DEVICES" not in os.environ
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if counted else {}
    return {"CUDA_VISIBLE_DEVICES": share, **order}
