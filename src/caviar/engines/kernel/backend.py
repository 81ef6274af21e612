"""The backend that trains a lane in a multiprocessor of a GPU: what `program.py` is given, and when."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from caviar.engines.dropout import limit_of
from caviar.engines.kernel.chain import Chain, Hidden, chain_of
from caviar.engines.native.binding import OPTIMIZERS
from caviar.engines.philox import blocks_of
from caviar.engines.stacked.backend import ByTorch, Steps
from caviar.engines.stacked.copies import sent
from caviar.engines.stacked.padding import power_of_two
from caviar.engines.stacked.tensors import LaneTensors

MOST = {"features": 128, "samples a batch": 128, "units": 128, "classes": 64}
"""What the program was compiled for without a register that is spilled."""

TILE = 32
"""Rows and columns of a matrix that are taken together."""


def warps(samples: int) -> int:
    """Of 32 threads, a program, for so many samples a batch: as many as have registers enough."""
    return 4 if samples <= 64 else 8


class ByKernel(ByTorch):
    """Trains each lane by itself, all steps by one launch; validates as `ByTorch` does."""

    rehearsed = 32

    def __init__(self, tensors: LaneTensors) -> None:
        super().__init__(tensors)
        self.recorded = tensors.device == "cuda"
        chain = chain_of(tensors.net.plan.layers)
        assert isinstance(chain, Chain)
        self._chain = chain
        self._fixed = settings(tensors, chain)
        x = tensors.train[0].flatten(1)
        self._x = functional.pad(x, (0, self._fixed["D"] - x.shape[1])).contiguous()
        self._warps = warps(self._fixed["B"])
        programs = min(tensors.lanes, programs_at_once(tensors.device, self._warps))
        self._work = torch.zeros(programs, room(self._fixed), device=tensors.device)

    @classmethod
    def over(cls, tensors: LaneTensors) -> Self | str:
        """One for these lanes, or why there is none."""
        return why_not(tensors) or cls(tensors)

    def steps(self, steps: Steps) -> None:
        """Take them, every lane by itself, in one launch."""
        tensors, net = self._tensors, self._tensors.net
        eps = tensors.settings.get("eps")
        if eps is not None and not eps[list(steps.lanes)].all():
            return super().steps(steps)  # where nothing is stepped by nothing, 0 / 0 is no number
        slots, order = tensors.slots, steps.order
        launch(
            len(self._work), net.flat.detach(), net.running, slots[0], slots[-1], self._work,
            self._x, tensors.train[1], order, steps.columns, self._keys(steps), self._numbers(),
            tensors.smoothing, tensors.weights, steps.losses, steps=len(steps.columns),
            seen=order.shape[1], order_row=order.stride(0), training=len(steps.lanes),
            **self._fixed, num_warps=self._warps, num_stages=1,
        )  # fmt: skip
        net.count_steps(len(steps.columns))

    def _keys(self, steps: Steps) -> Tensor:
        found = np.zeros((5, self._tensors.lanes), dtype=np.int64)
        found[0, : len(steps.lanes)] = steps.lanes
        found[1:3] = steps.keys
        for row, hidden in zip(found[3:], self._chain.hidden, strict=False):
            if hidden.dropout:
                row[:] = blocks_of(self._tensors.dropped[hidden.dropout])
        return sent(torch.from_numpy(found), self._tensors.device)

    def _numbers(self) -> Tensor:
        """The optimizer's constants, and each hidden layer's, a row each: see `parts.OWN`."""
        tensors, values = self._tensors, self._tensors.net.values
        zeros = torch.zeros_like(tensors.smoothing)
        rows = [tensors.constants[name][:, 0] for name in tensors.optimizer.constants]
        rows += [zeros] * (5 - len(rows))
        limits = [limit[:, 0] for limit in (tensors.norm, tensors.value) if limit is not None]
        rows += limits or [zeros]
        for hidden in self._chain.hidden:
            own = [zeros] * 4
            if hidden.norm:
                own[:2] = values[f"{hidden.norm}.eps"], values[f"{hidden.norm}.momentum"]
            if hidden.dropout:
                p = values[f"{hidden.dropout}.p"]
                own[2:] = limit_of(p).to(p.dtype), 1 / (1 - p)
            rows += own
        return torch.stack(rows)


def launch(programs: int, *tensors: Tensor, **others: Any) -> None:
    """Launch the program; all that it is given is in the order of its own arguments."""
    from caviar.engines.kernel.program import train

    program: Any = train
    program[(programs,)](*tensors, **others)


def why_not(tensors: LaneTensors) -> str | None:
    """What keeps lanes from being trained by the program; None where nothing does."""
    why = _why_not_here(tensors.device)
    if why is not None:
        return why
    course, optimizer, net = tensors.course, tensors.optimizer, tensors.net
    x, y = tensors.train
    if course.mixed or {course.dtype, x.dtype} != {torch.float32}:
        return f"its data are {x.dtype}, its layers {'bf16' if course.mixed else course.dtype}"
    if optimizer.target not in OPTIMIZERS:
        return f"its optimizer is {optimizer.target.__name__}"
    chain = chain_of(net.plan.layers)
    if isinstance(chain, str):
        return chain
    sizes = [("features", x[0].numel()), ("samples a batch", course.batch_size)]
    sizes += [("units", net.shapes[f"{hidden.linear}.weight"][0]) for hidden in chain.hidden]
    for name, size in (*sizes, ("classes", tensors.num_classes)):
        if size > MOST[name]:
            return f"it has {size} {name}, and {MOST[name]} are the most"
    if chain.norm and 1 in (course.batch_size, course.samples % course.batch_size):
        return "batch norm of one sample"
    if int(y.min()) < 0 or int(y.max()) >= tensors.num_classes:
        return f"its classes are not whole numbers from 0 to {tensors.num_classes - 1}"
    return None


def _why_not_here(device: str) -> str | None:
    if find_spec("triton") is None:
        return "Triton is not installed"
    if _interpreted():
        return None
    if device != "cuda":
        return f"it is on {device}, and the kernel is for a GPU"
    if torch.version.hip is not None or torch.cuda.get_device_capability() < (8, 0):
        return "the kernel is for NVIDIA's GPUs from Ampere on"
    return None


def _interpreted() -> bool:
    """Whether Triton computes on the host, by numpy: TRITON_INTERPRET=1."""
    from triton import knobs  # pyright: ignore[reportMissingImports] - where it is not installed

    return knobs.runtime.interpret


def programs_at_once(device: str, warps: int) -> int:
    """How many are under way together: as many as the multiprocessors have registers for."""
    if device != "cuda":
        return 2
    return torch.cuda.get_device_properties().multi_processor_count * (8 // warps)


def settings(tensors: LaneTensors, chain: Chain) -> dict[str, Any]:
    """What stays the same from launch to launch: sizes, and where things lie."""
    net, course = tensors.net, tensors.course
    features = tensors.train[0][0].numel()
    layers = [*chain.hidden, Hidden(chain.last, "", "")]
    *hidden, last = (_places(tensors, layer) for layer in layers)
    one, two = [*hidden, (0,) * 7, (0,) * 7][:2]
    norm, first = chain.hidden[0].norm if chain.hidden else "", layers[0].linear
    tuned = {
        "B": power_of_two(course.batch_size),
        "D": power_of_two(features),
        "U": power_of_two(one[0]),
        "V": power_of_two(two[0]),
        "C": power_of_two(tensors.num_classes),
    }
    return {
        "lanes": tensors.lanes,
        "parameter_row": net.flat.shape[1],
        "running_row": net.running.shape[1],
        "column_count": len(tensors.optimizer.columns),
        "samples": len(tensors.train[0]),
        "features": features,
        "classes": tensors.num_classes,
        "batch": course.batch_size,
        "one": one,
        "two": two,
        "last": last,
        "activation_number": float(chain.activation[1]),
        "DEPTH": len(hidden),
        "OPTIMIZER": OPTIMIZERS[tensors.optimizer.target],
        "DECAY_ALL": tensors.decayed == net.flat.shape[1],
        "ACTIVATION": chain.activation[0],
        "NORM": chain.norm,
        "AFFINE": f"{norm}.weight" in net.shapes,
        "DROPOUT": bool(chain.hidden and chain.hidden[0].dropout),
        "HIDDEN_BIAS": bool(hidden) and f"{first}.bias" in net.shapes,
        "LAST_BIAS": f"{chain.last}.bias" in net.shapes,
        "CLIP": 1 if tensors.norm is not None else 2 if tensors.value is not None else 0,
        **tuned,
        "TILE": TILE,
        "SIZE": size([tuned[name] for name in "DUV"[: len(layers)]] + [tuned["C"]]),
        # As torch's own products: three of 19 bits come to what one of 32 does.
        "PRECISION": "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32",
    }


def _places(tensors: LaneTensors, layer: Hidden) -> tuple[int, ...]:
    """A layer's units, and where its numbers lie; 0 where it has none."""
    net = tensors.net
    weight = f"{layer.linear}.weight"
    names = (weight, f"{layer.linear}.bias", f"{layer.norm}.weight", f"{layer.norm}.bias")
    stats = (f"{layer.norm}.running_mean", f"{layer.norm}.running_var")
    return (
        net.shapes[weight][0],
        *(net.layout.places.get(name, (0,))[0] for name in names),
        *(net.running_layout.places.get(name, (0,))[0] for name in stats),
    )


def size(widths: list[int]) -> int:
    """Numbers of a network of such widths: each layer's weight, and six vectors; see `program.train`."""
    return sum(units * (before + 6) for before, units in pairwise(widths))


def room(of: dict[str, Any]) -> int:
    """Numbers that a program has a place of its own for; see `program.train`."""
    return 3 * of["SIZE"] + of["B"] * (of["D"] + 5 * of["U"] + 5 * of["V"] + of["C"])
