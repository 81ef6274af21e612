"""A stack's epochs by a loop in C++ over its lanes, each while its numbers are in the processor's cache.

`native.cpp` is compiled for this machine when it is first needed, which takes some seconds, and kept
in the user's folder for caches.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caviar.engines.lanes.cache import cache_folder
from caviar.engines.lanes.training import Course
from caviar.engines.stacked.optimizers import LaneOptimizer, optimizer_of
from caviar.engines.stacked.stacked import Stacked
from caviar.runs.inside import remove_inside
from caviar.runs.private import private_folder, why_not_private

SOURCE = Path(__file__).with_suffix(".cpp")

_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno",
          "-fno-trapping-math")  # fmt: skip

_AT_ONCE = 128
"""Samples of the validation part that go through a network together: they stay in the cache."""

_MOST_LAYERS = 128

_LINEAR, _BATCH_NORM, _ACTIVATION, _DROPOUT = range(4)

_OPTIMIZERS: dict[type[torch.optim.Optimizer], int] = {
    torch.optim.SGD: 0,
    torch.optim.Adam: 1,
    torch.optim.AdamW: 2,
    torch.optim.RMSprop: 3,
}


def _activation(layer: nn.Module) -> tuple[int, float] | None:
    """An activation's number in `native.cpp`, and its setting."""
    match layer:
        case nn.ReLU():
            return 0, 0.0
        case nn.LeakyReLU():
            return 1, layer.negative_slope
        case nn.ELU():
            return 2, layer.alpha
        case nn.GELU():
            return (3 if layer.approximate == "none" else 4), 0.0
        case nn.SiLU():
            return 5, 0.0
        case nn.Tanh():
            return 6, 0.0
        case nn.Sigmoid():
            return 7, 0.0
        case nn.Mish():
            return 8, 0.0
        case nn.Softplus() if (layer.beta, layer.threshold) == (1, 20):
            return 9, 0.0
    return None


class _Layer(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in ("kind", "activation", "weight", "bias", "mean", "var")
        ),
        *((name, ctypes.c_int64) for name in ("row", "units")),
        ("number", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("first", "second", "bits")),
    ]


class _Net(ctypes.Structure):
    _fields_ = [
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_int64) for name in ("count", "lanes")),
        ("widths", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("numbers", ctypes.c_int64),
        ("running", ctypes.c_void_p),
        ("running_numbers", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("x", "y", "smoothing", "weights")),
    ]


class _Steps(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("optimizer", "steps", "batch", "samples")),
        ("order", ctypes.c_void_p),
        ("order_row", ctypes.c_int64),
        ("slots", ctypes.c_void_p * 2),
        ("constants", ctypes.c_void_p * 6),
        ("columns", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("column_count", "decayed")),
        *((name, ctypes.c_void_p) for name in ("norm", "value", "losses")),
    ]


class _Evaluation(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("samples", "batch")),
        *((name, ctypes.c_void_p) for name in ("probabilities", "losses")),
    ]


def layout() -> str:
    """Where the fields lie of what goes to `native.cpp`, and the order of each optimizer's numbers."""
    words = []
    for struct in (_Layer, _Net, _Steps, _Evaluation):
        words += [f"{name}:{getattr(struct, name).offset}" for name, *_ in struct._fields_]
        words.append(f"{struct.__name__.removeprefix('_')}:{ctypes.sizeof(struct)}")
    for target, number in _OPTIMIZERS.items():
        own = optimizer_of(f"torch.optim.{target.__name__}")
        words += [f"{name}:0" for name in (*own.constants, *own.columns)]
        words.append(f"{target.__name__}:{number}")
    return " ".join(words)


def compiler() -> str | None:
    """A C++ compiler, if there is one: ``CXX``, else g++ or clang++."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


@cache
def library() -> ctypes.CDLL:
    """The compiled `native.cpp`.

    Raises:
        OSError: there is no compiler, it failed (the message says what it said), or what it compiled
            does not agree with this module about where things lie.
    """
    try:
        found = ctypes.CDLL(str(build(private_folder(cache_folder() / "native"))))
    except OSError as error:
        if error.errno is None and not isinstance(error, PermissionError):
            raise  # not compiled
        # A home that is not there or cannot, or that others can, be written to: each time anew.
        with tempfile.TemporaryDirectory() as place:
            found = ctypes.CDLL(str(build(Path(place))))
    found.layout.argtypes, found.layout.restype = [], ctypes.c_char_p
    built, known = found.layout().decode().split(), layout().split()
    if built != known:
        differ = [pair for pair in zip_longest(built, known, fillvalue="-") if pair[0] != pair[1]]
        raise OSError("native.cpp does not go with native.py: {} there, {} here".format(*differ[0]))
    pointer = ctypes.c_void_p
    for kind in ("float", "double"):
        for name in ("train", "evaluate"):
            function = getattr(found, f"{name}_{kind}")
            function.argtypes = [pointer, pointer, pointer, ctypes.c_int64]
            function.restype = ctypes.c_int
    return found


def build(folder: Path) -> Path:
    """Compile `native.cpp` into ``folder``, unless it is there.

    Raises:
        OSError: there is no compiler, it failed, or the folder cannot be written to.
    """
    command = compiler()
    if command is None:
        raise OSError("no C++ compiler was found: neither CXX, g++ nor clang++")
    version = subprocess.run([command, "-dumpfullversion"], capture_output=True, text=True).stdout
    source = SOURCE.read_bytes()
    what = repr((source, command, version, _FLAGS, platform.machine(), _processor()))
    target = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.so"
    with suppress(FileNotFoundError):
        if not why_not_private(target) and target.is_file():
            return target
        remove_inside(target)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        built = Path(place) / "built.so"
        done = subprocess.run(
            [command, *_FLAGS, "-o", str(built), str(SOURCE)], capture_output=True, text=True
        )
        if done.returncode:
            first = (done.stderr.strip() or f"{command} failed").splitlines()[0]
            raise OSError(f"native.cpp was not compiled: {first}")
        built.replace(target)
    return target


def _processor() -> str:
    """What ``-march=native`` looks at, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(line for line in lines[:40] if line.startswith(("model name", "flags")))


def why_not(
    net: Stacked,
    course: Course,
    optimizer: LaneOptimizer,
    parts: Sequence[tuple[Tensor, Tensor]],
    num_classes: int,
) -> str | None:
    """What keeps a stack from being trained by the loop in C++; None where nothing does.

    Args:
        parts: training and validation, each samples and their classes.
    """
    for x, y in parts:
        if x.device.type != "cpu":
            return f"it is on {x.device.type}"
        if course.mixed or course.dtype != x.dtype:
            return f"its data are {x.dtype}, its layers {'bf16' if course.mixed else course.dtype}"
        # The loop looks nothing up twice: what is out of bounds is torch's to refuse.
        if y.dtype != torch.int64 or int(y.min()) < 0 or int(y.max()) >= num_classes:
            return f"its classes are not whole numbers from 0 to {num_classes - 1}"
    x = parts[0][0]
    if optimizer.target not in _OPTIMIZERS:
        return f"its optimizer is {optimizer.target.__name__}"
    if not 0 < len(net.plan.layers) <= _MOST_LAYERS:
        return "it is not a chain of layers"
    if not isinstance(net.plan.layers[-1][1], nn.Linear):
        return "it does not end in a Linear"
    seen = False
    for name, layer in net.plan.layers:
        if isinstance(layer, nn.Flatten | nn.Identity) and (x.ndim == 2 or not seen):
            seen = True  # samples are vectors from here on
        elif not (x.ndim == 2 or seen):
            return f"its layer {name} takes samples that are not vectors"
        elif isinstance(layer, nn.BatchNorm1d):
            rest = course.samples % course.batch_size
            if 1 in (course.batch_size, rest):
                return "batch norm of one sample"
        elif not isinstance(layer, nn.Linear | nn.Dropout) and _activation(layer) is None:
            return f"its layer {name} is a {type(layer).__name__}"
    return None


class Native:
    """Trains and evaluates the lanes of one stack.

    All tensors are the stack's own and are changed in place; they must stay where they are.

    Args:
        net: the parameters.
        course, optimizer: how they are trained.
        x, y: training samples ``(samples, …)`` and their classes; ``val``: the same for validation.
        slots, constants: of the optimizer, each ``(lanes, numbers)`` and ``(lanes, 1)``.
        norm, value: the gradient's limits ``(lanes, 1)``, where there are any.
        smoothing, weights: of the loss, ``(lanes,)`` and ``(lanes, classes)``.

    Raises:
        OSError: it cannot be compiled.
    """

    def __init__(
        self,
        net: Stacked,
        course: Course,
        optimizer: LaneOptimizer,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
        slots: Sequence[Tensor],
        constants: Mapping[str, Tensor],
        norm: Tensor | None,
        value: Tensor | None,
        smoothing: Tensor,
        weights: Tensor,
    ) -> None:
        kind = "double" if course.dtype == torch.float64 else "float"
        self._train = getattr(library(), f"train_{kind}")
        self._evaluate = getattr(library(), f"evaluate_{kind}")
        self._net, self._course = net, course
        lanes = len(net.flat)
        self._layers = [
            (name, layer)
            for name, layer in net.plan.layers
            if not isinstance(layer, nn.Flatten | nn.Identity)
        ]
        self._structs = (_Layer * len(self._layers))(
            *(self._struct(name, layer) for name, layer in self._layers)
        )
        self.widths = np.zeros((lanes, len(self._layers) + 1), dtype=np.int64)
        self._parts = {
            name: (x.flatten(1).contiguous(), y.contiguous())
            for name, (x, y) in (("train", train), ("val", val))
        }
        self._kept = (smoothing, weights, slots, constants, norm, value)  # their memory is in use
        self._fixed: dict[str, Any] = {
            "optimizer": _OPTIMIZERS[optimizer.target],
            "batch": course.batch_size,
            "slots": (ctypes.c_void_p * 2)(*(slot.data_ptr() for slot in slots)),
            "constants": (ctypes.c_void_p * 6)(
                *(constants[name].data_ptr() for name in optimizer.constants)
            ),
            "decayed": 0,
            "norm": None if norm is None else norm.data_ptr(),
            "value": None if value is None else value.data_ptr(),
        }
        threads = torch.get_num_threads()
        self._threads = ThreadPoolExecutor(threads) if threads > 1 else None

    def _struct(self, name: str, layer: nn.Module) -> _Layer:
        found = _Layer(_LINEAR, -1, -1, -1, -1, -1, 0, 0, 0.0, None, None, None)
        net = self._net
        for own in ("weight", "bias"):
            place = net.layout.places.get(f"{name}.{own}")
            if place is not None:
                setattr(found, own, place[0])
        match layer:
            case nn.Linear():
                found.row = net.shapes[f"{name}.weight"][1]
            case nn.BatchNorm1d():
                found.kind = _BATCH_NORM
                found.mean = net.running_layout.places[f"{name}.running_mean"][0]
                found.var = net.running_layout.places[f"{name}.running_var"][0]
                found.first = net.values[f"{name}.eps"].data_ptr()
                found.second = net.values[f"{name}.momentum"].data_ptr()
            case nn.Dropout():
                found.kind = _DROPOUT
                found.first = net.values[f"{name}.p"].data_ptr()
            case _:
                found.kind = _ACTIVATION
                found.activation, found.number = _activation(layer) or (-1, 0.0)
        return found

    def admit(self, lane: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Learn how wide the layers of a lane are, from the shapes of its parameters."""
        width = self._parts["train"][0].shape[1]
        widths = [width]
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                width = shapes[f"{name}.weight"][0]
            widths.append(width)
        self.widths[lane] = widths

    def steps(
        self,
        lanes: Sequence[int],
        order: Tensor,
        columns: Tensor,
        bits: Mapping[str, Tensor],
        decayed: int,
        losses: Tensor,
    ) -> None:
        """Some steps of an epoch.

        Args:
            lanes: those that have a training.
            order: samples ``(lanes, samples)``, those of these steps alone.
            columns: the optimizer's ``(steps, columns, lanes, 1)``.
            bits: for each dropout layer ``(steps, lanes, batch, units)``.
            decayed: weight decay acts on so many of the first parameters.
            losses: ``(lanes,)``: the steps' losses are added.
        """
        samples, (low, high) = len(self._parts["train"][0]), order.aminmax()
        if int(low) < 0 or int(high) >= samples:
            raise IndexError(f"an order of samples from {low} to {high}: there are {samples}")
        for struct, (name, _) in zip(self._structs, self._layers, strict=True):
            if name in bits:
                struct.bits, struct.units = bits[name].data_ptr(), bits[name].shape[3]
        steps = _Steps(
            **{
                **self._fixed,
                "steps": len(columns),
                "samples": order.shape[1],
                "order": order.data_ptr(),
                "order_row": order.stride(0),
                "columns": columns.data_ptr(),
                "column_count": columns.shape[1],
                "decayed": decayed,
                "losses": losses.data_ptr(),
            }
        )
        self._run(self._train, "train", steps, lanes)

    def evaluate(self, lanes: Sequence[int], probabilities: Tensor, losses: Tensor) -> None:
        """The validation part: probabilities ``(lanes, classes, samples)``, losses summed ``(lanes,)``."""
        samples = len(self._parts["val"][0])
        of = _Evaluation(samples, _AT_ONCE, probabilities.data_ptr(), losses.data_ptr())
        self._run(self._evaluate, "val", of, lanes)

    def _run(self, function: Any, part: str, what: ctypes.Structure, lanes: Sequence[int]) -> None:
        (x, y), net = self._parts[part], self._net
        smoothing, weights = self._kept[0], self._kept[1]
        arguments = _Net(
            self._structs, len(self._structs), len(self.widths), self.widths.ctypes.data,
            net.flat.data_ptr(), net.flat.shape[1], net.running.data_ptr(), net.running.shape[1],
            x.data_ptr(), y.data_ptr(), smoothing.data_ptr(), weights.data_ptr(),
        )  # fmt: skip

        def some(which: Sequence[int]) -> None:
            numbers = np.asarray(which, dtype=np.int64)
            if function(
                ctypes.byref(arguments), ctypes.byref(what), numbers.ctypes.data, len(which)
            ):
                raise torch.OutOfMemoryError("can't allocate memory for a lane")

        if self._threads is None:
            some(lanes)
        else:
            share = torch.get_num_threads()
            list(self._threads.map(some, (lanes[n::share] for n in range(share))))
