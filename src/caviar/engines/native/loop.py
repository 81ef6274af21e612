"""The native backend: a loop in C++ over the lanes, each while its numbers are in the processor's cache.

`loop.cpp` is compiled for this machine when it is first needed, which takes some seconds, and kept
in the user's folder for caches.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from caviar.base.machine import cache_folder
from caviar.engines.native.build import build
from caviar.engines.stacked.backend import Steps
from caviar.engines.stacked.optimizers import optimizer_of
from caviar.engines.stacked.plan import Plan
from caviar.engines.stacked.tensors import LaneTensors
from caviar.runs.private import private_folder

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
    """An activation's number in `loop.cpp`, and its setting."""
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
        *((name, ctypes.c_int64) for name in ("row", "place")),
        ("number", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("first", "second")),
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
        *((name, ctypes.c_void_p) for name in ("norm", "value", "keys", "losses")),
    ]


class _Evaluation(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("samples", "batch")),
        *((name, ctypes.c_void_p) for name in ("probabilities", "losses")),
    ]


def layout() -> str:
    """Where the fields lie of what goes to `loop.cpp`, and the order of each optimizer's numbers."""
    words = []
    for struct in (_Layer, _Net, _Steps, _Evaluation):
        words += [f"{name}:{getattr(struct, name).offset}" for name, *_ in struct._fields_]
        words.append(f"{struct.__name__.removeprefix('_')}:{ctypes.sizeof(struct)}")
    for target, number in _OPTIMIZERS.items():
        own = optimizer_of(f"torch.optim.{target.__name__}")
        words += [f"{name}:0" for name in (*own.constants, *own.columns)]
        words.append(f"{target.__name__}:{number}")
    return " ".join(words)


@cache
def library() -> ctypes.CDLL:
    """The compiled `loop.cpp`.

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
        raise OSError("loop.cpp does not go with loop.py: {} there, {} here".format(*differ[0]))
    pointer = ctypes.c_void_p
    for kind in ("float", "double"):
        for name in ("train", "evaluate"):
            function = getattr(found, f"{name}_{kind}")
            function.argtypes = [pointer, pointer, pointer, ctypes.c_int64]
            function.restype = ctypes.c_int
    return found


def why_not(tensors: LaneTensors) -> str | None:
    """What keeps lanes from being trained by the loop in C++; None where nothing does."""
    net, course, optimizer = tensors.net, tensors.course, tensors.optimizer
    num_classes = tensors.num_classes
    parts = (tensors.train, tensors.val)
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
    """Trains and evaluates lanes one after the other, on all of this process's threads.

    Raises:
        OSError: it cannot be compiled.
    """

    # It makes itself room once a call: one step alone would bear all of that.
    rehearsed = 32

    def __init__(self, tensors: LaneTensors) -> None:
        course, net, optimizer = tensors.course, tensors.net, tensors.optimizer
        kind = "double" if course.dtype == torch.float64 else "float"
        self._train = getattr(library(), f"train_{kind}")
        self._evaluate = getattr(library(), f"evaluate_{kind}")
        self._tensors, self._net = tensors, net
        self._layers = [
            (name, layer)
            for name, layer in net.plan.layers
            if not isinstance(layer, nn.Flatten | nn.Identity)
        ]
        self._structs = (_Layer * len(self._layers))(
            *(self._struct(name, layer) for name, layer in self._layers)
        )
        self.widths = np.zeros((tensors.lanes, len(self._layers) + 1), dtype=np.int64)
        self._parts = {
            name: (x.flatten(1).contiguous(), y.contiguous())
            for name, (x, y) in (("train", tensors.train), ("val", tensors.val))
        }
        norm, value = tensors.norm, tensors.value
        self._fixed: dict[str, Any] = {
            "optimizer": _OPTIMIZERS[optimizer.target],
            "batch": course.batch_size,
            "slots": (ctypes.c_void_p * 2)(*(slot.data_ptr() for slot in tensors.slots)),
            "constants": (ctypes.c_void_p * 6)(
                *(tensors.constants[name].data_ptr() for name in optimizer.constants)
            ),
            "decayed": tensors.decayed,
            "norm": None if norm is None else norm.data_ptr(),
            "value": None if value is None else value.data_ptr(),
        }
        threads = torch.get_num_threads()
        self._threads = ThreadPoolExecutor(threads) if threads > 1 else None

    @classmethod
    def over(cls, tensors: LaneTensors) -> Self | str:
        """One for these lanes, or why there is none."""
        try:
            return why_not(tensors) or cls(tensors)
        except OSError as error:
            return str(error)

    def _struct(self, name: str, layer: nn.Module) -> _Layer:
        found = _Layer(_LINEAR, -1, -1, -1, -1, -1, 0, 0, 0.0, None, None)
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
                found.kind, found.place = _DROPOUT, net.plan.numbers[name]
                found.first = net.values[f"{name}.p"].data_ptr()
            case _:
                found.kind = _ACTIVATION
                found.activation, found.number = _activation(layer) or (-1, 0.0)
        return found

    def admit(self, lane: int, plan: Plan) -> None:
        """Learn how wide the layers of a lane are."""
        width = self._parts["train"][0].shape[1]
        widths = [width]
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                width = plan.shapes[f"{name}.weight"][0]
            widths.append(width)
        self.widths[lane] = widths

    def steps(self, steps: Steps) -> None:
        """Take them lane by lane.

        Raises:
            IndexError: an order names a sample that there is not.
        """
        order, columns, keys = steps.order, steps.columns, np.ascontiguousarray(steps.keys)
        samples, (low, high) = len(self._parts["train"][0]), order.aminmax()
        if int(low) < 0 or int(high) >= samples:
            raise IndexError(f"an order of samples from {low} to {high}: there are {samples}")
        what = _Steps(
            **{
                **self._fixed,
                "steps": len(columns),
                "samples": order.shape[1],
                "order": order.data_ptr(),
                "order_row": order.stride(0),
                "columns": columns.data_ptr(),
                "column_count": columns.shape[1],
                "keys": keys.ctypes.data,
                "losses": steps.losses.data_ptr(),
            }
        )
        self._run(self._train, "train", what, steps.lanes)
        self._net.count_steps(len(columns))

    def evaluate(self, lanes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Backend.evaluate`."""
        tensors, samples = self._tensors, len(self._parts["val"][0])
        dtype = tensors.course.dtype
        losses = torch.zeros(tensors.lanes, dtype=dtype)
        probabilities = torch.zeros(tensors.lanes, tensors.num_classes, samples, dtype=dtype)
        of = _Evaluation(samples, _AT_ONCE, probabilities.data_ptr(), losses.data_ptr())
        self._run(self._evaluate, "val", of, lanes)
        return probabilities, losses

    def _run(self, function: Any, part: str, what: ctypes.Structure, lanes: Sequence[int]) -> None:
        (x, y), net = self._parts[part], self._net
        smoothing, weights = self._tensors.smoothing, self._tensors.weights
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
