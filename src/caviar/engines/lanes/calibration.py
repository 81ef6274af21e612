"""Solo or fused, and on how many lanes: measured with a few steps, and remembered on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from caviar.base.errors import UsageError
from caviar.base.machine import cache_folder, compiler
from caviar.engines.gpu import free_memory, least_seconds, out_of_memory
from caviar.engines.lanes.backends import BACKENDS, by_others
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.lanes.ways import AnyTraining
from caviar.runs.fields import NUMBER, WHOLE, Must, check_fields
from caviar.runs.files import read_json, write_atomic
from caviar.runs.private import private_folder, why_not_private

if TYPE_CHECKING:
    from caviar.engines.called.training import CalledTraining

log = logging.getLogger(__name__)

TRAINER_STEP = 0.4e-3
"""Seconds that a Lightning Trainer adds to a step, at the least: 0.5 to 1.5 ms were measured."""

_LANES = {"cpu": (4, 16, 64, 256), "cuda": (4, 16, 64, 256, 1024, 4096)}
_CALLED_LANES = {"cpu": (4, 8, 16, 32, 64), "cuda": (4, 16, 64, 256, 1024)}

_PART = {"cpu": 0.5, "cuda": 0.8}
"""Of the memory that a process may hope for, what lanes may take; the rest is for what torch needs."""

_WORTH = 0.95
"""Twice the lanes are taken where they bring a lane's step below this share of what it took."""

_LARGE = 0.02
"""A step of so many seconds on the CPU is spent computing: there is nothing for lanes to share."""

NATIVE_LANES = 32
"""Lanes of a stack that the loop in C++ trains: more bring it nothing, but share its validation."""

_KNOWN: Must = (lambda value: isinstance(value, str) and value in BACKENDS, "a backend")
_CHOICE = {"lanes": WHOLE, "solo_step": NUMBER, "lane_step": NUMBER, "by": _KNOWN}

_KEPT = 30 * 86400.0
"""Seconds for which a measurement holds: drivers and neighbours change."""

_VERSION = 13
"""Grows when what is measured changes: older measurements are then forgotten."""


@dataclass(frozen=True)
class Choice:
    """How trials of one kind are best trained on this machine.

    Attributes:
        lanes: lanes of a stack; 0 where solo is faster.
        solo_step: seconds of a step by a Trainer.
        lane_step: seconds of a stack's step, divided by its lanes.
        by: which of `BACKENDS` trains the lanes.
    """

    lanes: int
    solo_step: float
    lane_step: float
    by: str = "torch"

    def __str__(self) -> str:
        how = f"fused on {self.lanes} lanes" if self.lanes else "solo"
        how += "" if self.by == "torch" else f", {BACKENDS[self.by][1]}"
        times = f"{self.solo_step * 1e3:.3f} ms by solo, {self.lane_step * 1e3:.3f} ms on a lane"
        return f"{how} (a step takes {times})"


def choose(training: AnyTraining, most: int | None, device: str, native: bool = True) -> Choice:
    """Measure, or remember, how trainings like this one are best run.

    Args:
        most: lanes at most; None for as many as pay and fit.
        device: where lanes compute.
        native: the loop in C++ may be taken; on a GPU a CUDA graph, and a kernel.
    """
    name = _fingerprint(training, most, device, native)
    file = cache_folder() / "calibration" / f"{name}.json"
    with suppress(OSError, UsageError, TypeError):
        private = not (why_not_private(file.parent) or why_not_private(file))
        if private and time.time() - file.stat().st_mtime < _KEPT:
            held = read_json(file)
            check_fields(file, held, _CHOICE, _CHOICE)
            if held["lanes"] <= max(most or 0, _LANES[device][-1]):
                return Choice(**held)
    crowded = _crowded()
    choice = _measure(training, most, device, native)
    log.info("%s", choice)
    if crowded or _crowded():
        log.info("measured while others used this processor, so not remembered")
        return choice
    with suppress(OSError):  # a home that cannot be written to costs a measurement each time
        write_atomic(private_folder(file.parent) / file.name, json.dumps(asdict(choice)) + "\n")
    return choice


def _crowded() -> bool:
    """Whether this thread has to share its core: it gets less than four fifths of 30 ms of it."""
    began, own = time.perf_counter(), time.thread_time()
    while time.perf_counter() - began < 0.03:
        pass
    return time.thread_time() - own < 0.8 * (time.perf_counter() - began)


def _measure(training: AnyTraining, most: int | None, device: str, native: bool) -> Choice:
    if not isinstance(training, Training):
        return _measure_called(training, most, device)
    solo = _solo_step(training, device) + TRAINER_STEP
    room = max(1, int(_PART[device] * _free_memory(device) / _bytes_a_lane(training)))
    by_loop = _native_step(training, device) if native else None

    def timed(lanes: int, before: int) -> dict[str, float]:
        stack = _filled(training, lanes, device)
        times = {"torch": stack.rehearse() / lanes}
        return times | by_others(stack) if native else times

    if device == "cpu" and solo > _LARGE:
        by_torch = Choice(0, solo, solo)
    else:
        by_torch = _best_of(_LANES[device], most, room, solo, min(solo, by_loop or solo), timed)
    if by_loop is None or by_torch.lane_step < by_loop:
        return by_torch
    lanes = min(most or NATIVE_LANES, room)
    return Choice(lanes, solo, by_loop, "native") if by_loop < solo else Choice(0, solo, by_loop)


def _measure_called(training: CalledTraining, most: int | None, device: str) -> Choice:
    """The same for a training whose code lanes call.

    Raises:
        NotFusibleError: that code is none for lanes, or comes to something else on one.
    """
    from caviar.engines.called.rehearsal import Rehearsal

    rehearsal = Rehearsal(training)
    rehearsal.check()
    solo = rehearsal.solo_step() + TRAINER_STEP
    room = _PART[device] * free_memory() if device == "cuda" else 0.0
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else 0

    def timed(lanes: int, before: int) -> dict[str, float]:
        if before and device == "cuda":
            taken = free - torch.cuda.mem_get_info()[0]
            if taken * lanes / before > room:
                raise torch.OutOfMemoryError
        return {"torch": rehearsal.lane_step(lanes)}

    sizes = _CALLED_LANES[device]
    return _best_of(sizes, most, sizes[-1], solo, solo, timed)


def _best_of(
    sizes: Sequence[int],
    most: int | None,
    room: int,
    solo: float,
    least: float,
    timed: Callable[[int, int], dict[str, float]],
) -> Choice:
    """The best of stacks of several sizes: a larger one is tried as long as that may pay.

    Args:
        sizes: lanes, the fewest first; above ``most``, and ``room``, none is tried.
        least: seconds of a step by any other way: what takes far longer is tried no larger.
        timed: lanes, and those of the size before -> seconds of a lane's step, by backend.
    """
    counts = [lanes for lanes in sizes if lanes <= min(most or sizes[-1], room)]
    counts = counts or [min(most or 1, room)]
    best, per_lane, by = 0, float("inf"), "torch"
    for lanes in counts:
        try:
            times = timed(lanes, best)
        except RuntimeError as error:
            if best and out_of_memory(error):
                log.info("no memory for %d lanes", lanes)
                break
            raise
        fastest = min(times, key=times.__getitem__)
        step = times[fastest]
        if best and step > _WORTH ** log2(lanes / best) * per_lane:
            break
        best, per_lane, by = lanes, step, fastest
        if per_lane > 1.5 * least:
            break
    if most is not None and best == counts[-1]:
        best = most
    return Choice(best, solo, per_lane, by) if per_lane < solo else Choice(0, solo, per_lane)


def _filled(training: Training, lanes: int, device: str) -> Stack:
    """A stack that has the training on each of its lanes."""
    stack = Stack([training], lanes, device)
    for _ in range(lanes):
        stack.admit(training)
    return stack


def _native_step(training: Training, device: str) -> float | None:
    """Seconds of a step of a lane by the loop in C++; None where it does not know such networks."""
    stack = _filled(training, 2, device)
    why = stack.use(BACKENDS["native"][0])
    if why is not None:
        log.info("not by the loop in C++: %s", why)
        return None
    return stack.rehearse() / stack.lanes


def _solo_step(training: Training, device: str) -> float:
    """Seconds of a step of a plain loop over the plain network."""
    recipe, course = training.recipe, training.course
    network = recipe.network().to(device, course.dtype)
    settings = dict(recipe.optimizer)
    settings.pop("_target_")
    optimizer = training.optimizer.target(network.parameters(), **settings)  # type: ignore[call-arg]
    x, y = (part[: course.batch_size].to(device) for part in recipe.train)
    x = x.to(course.dtype) if x.is_floating_point() else x

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=course.mixed):
            loss = torch.nn.functional.cross_entropy(network(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return least_seconds(step, device)


def _bytes_a_lane(training: Training) -> int:
    numbers = sum(training.weights[name].numel() for name in training.plan.parameters)
    widths = sum(shape[0] for shape in training.plan.padded.values() if len(shape) > 1)
    copies = 5 + 2 * len(training.optimizer.slots)  # weights, best, gradients, a snapshot of all
    size = 8 if training.course.dtype == torch.float64 else 4
    return size * (copies * numbers + 8 * training.course.batch_size * widths) + 1


def _free_memory(device: str) -> float:
    """Bytes that this process may hope for."""
    if device == "cuda":
        return free_memory()
    workers = max(1, (os.cpu_count() or 1) // torch.get_num_threads())
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024 / workers
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 / workers
    return 2e9 / workers


def _fingerprint(training: AnyTraining, most: int | None, device: str, native: bool) -> str:
    machine = torch.cuda.get_device_name() if device == "cuda" else platform.node()
    where = (
        _VERSION, most, device, native and compiler(), machine, platform.machine(), os.cpu_count(),
        torch.get_num_threads(), torch.__version__,
    )  # fmt: skip
    if isinstance(training, Training):
        course, x = training.course, training.recipe.train[0]
        kind: Any = (
            training.plan.key, training.optimizer.target,
            course.batch_size, course.dtype, course.mixed, tuple(x.shape[1:]),
        )  # fmt: skip
    else:
        kind = (training.key, training.source)
    what = (*where, kind)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]
