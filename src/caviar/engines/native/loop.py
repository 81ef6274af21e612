"""The native backend: a loop in C++ over the lanes, each while its numbers are in the processor's cache."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from caviar.engines.native.binding import OPTIMIZERS, library, structures
from caviar.engines.stacked.backend import Steps
from caviar.engines.stacked.plan import Plan
from caviar.engines.stacked.tensors import LaneTensors

_AT_ONCE = 128
"""Samples of the validation part that go through a network together: they stay in the cache."""

_MOST_LAYERS = 128

_LINEAR, _BATCH_NORM, _ACTIVATION, _DROPOUT = range(4)


_PLAIN = {nn.ReLU: 0, nn.SiLU: 5, nn.Tanh: 6, nn.Sigmoid: 7, nn.Mish: 8}
"""The numbers in `loop.cpp` of activations without a setting."""


def activation_of(layer: nn.Module) -> tuple[int, float] | None:
    """An activation's number in `loop.cpp`, and its setting."""
    match layer:
        case nn.LeakyReLU():
            return 1, layer.negative_slope
        case nn.ELU():
            return 2, layer.alpha
        case nn.GELU():
            return (3 if layer.approximate == "none" else 4), 0.0
        case nn.Softplus() if (layer.beta, layer.threshold) == (1, 20):
            return 9, 0.0
    number = _PLAIN.get(type(layer))
    return None if number is None else (number, 0.0)


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
    if optimizer.target not in OPTIMIZERS:
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
        elif not isinstance(layer, nn.Linear | nn.Dropout) and activation_of(layer) is None:
            return f"its layer {name} is a {type(layer).__name__}"
    return None


class Native:
    """Trains and evaluates lanes one after the other, on all of this process's threads.

    Raises:
        OSError: it cannot be compiled.
    """

    # It makes itself room once a call: one step alone would bear all of that.
    rehearsed = 32
    recorded = False

    def __init__(self, tensors: LaneTensors) -> None:
        course, net, optimizer = tensors.course, tensors.net, tensors.optimizer
        kind = "double" if course.dtype == torch.float64 else "float"
        self._train = getattr(library(), f"train_{kind}")
        self._evaluate = getattr(library(), f"evaluate_{kind}")
        self._kinds = structures()
        self._tensors, self._net = tensors, net
        self._layers = [
            (name, layer)
            for name, layer in net.plan.layers
            if not isinstance(layer, nn.Flatten | nn.Identity)
        ]
        self._structs = (self._kinds["Layer"] * len(self._layers))(
            *(self._struct(name, layer) for name, layer in self._layers)
        )
        self.widths = np.zeros((tensors.lanes, len(self._layers) + 1), dtype=np.int64)
        self._parts = {
            name: (x.flatten(1).contiguous(), y.contiguous())
            for name, (x, y) in (("train", tensors.train), ("val", tensors.val))
        }
        norm, value = tensors.norm, tensors.value
        self._fixed: dict[str, Any] = {
            "optimizer": OPTIMIZERS[optimizer.target],
            "batch": course.batch_size,
            "slots": tuple(slot.data_ptr() for slot in tensors.slots),
            "constants": tuple(tensors.constants[name].data_ptr() for name in optimizer.constants),
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

    def _struct(self, name: str, layer: nn.Module) -> ctypes.Structure:
        nowhere = dict.fromkeys(("activation", "weight", "bias", "mean", "var"), -1)
        found = self._kinds["Layer"](kind=_LINEAR, **nowhere)
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
                found.activation, found.number = activation_of(layer) or (-1, 0.0)
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
        what = self._kinds["Steps"](
            **self._fixed,
            steps=len(columns),
            samples=order.shape[1],
            order=order.data_ptr(),
            order_row=order.stride(0),
            columns=columns.data_ptr(),
            column_count=columns.shape[1],
            keys=keys.ctypes.data,
            losses=steps.losses.data_ptr(),
        )
        self._run(self._train, "train", what, steps.lanes)
        self._net.count_steps(len(columns))

    def evaluate(self, lanes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Backend.evaluate`."""
        tensors, samples = self._tensors, len(self._parts["val"][0])
        dtype = tensors.course.dtype
        losses = torch.zeros(tensors.lanes, dtype=dtype)
        probabilities = torch.zeros(tensors.lanes, tensors.num_classes, samples, dtype=dtype)
        of = self._kinds["Evaluation"](
            samples=samples,
            batch=_AT_ONCE,
            probabilities=probabilities.data_ptr(),
            losses=losses.data_ptr(),
        )
        self._run(self._evaluate, "val", of, lanes)
        return probabilities, losses

    def _run(self, function: Any, part: str, what: ctypes.Structure, lanes: Sequence[int]) -> None:
        (x, y), net = self._parts[part], self._net
        smoothing, weights = self._tensors.smoothing, self._tensors.weights
        arguments = self._kinds["Net"](
            layers=ctypes.addressof(self._structs), count=len(self._structs), lanes=len(self.widths),
            widths=self.widths.ctypes.data, parameters=net.flat.data_ptr(), numbers=net.flat.shape[1],
            running=net.running.data_ptr(), running_numbers=net.running.shape[1], x=x.data_ptr(),
            y=y.data_ptr(), smoothing=smoothing.data_ptr(), weights=weights.data_ptr(),
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
