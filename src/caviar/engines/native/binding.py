"""What goes to `loop.cpp` and how it lies in memory, and the compiled library itself.

`loop.cpp` is compiled for this machine when it is first needed, which takes some seconds, and kept
in the user's folder for caches.
"""

from __future__ import annotations

import ctypes
import tempfile
from functools import cache
from itertools import zip_longest
from pathlib import Path

import torch

from caviar.base.machine import cache_folder
from caviar.engines.native.build import build
from caviar.engines.stacked.optimizers import optimizer_of
from caviar.runs.private import private_folder

OPTIMIZERS: dict[type[torch.optim.Optimizer], int] = {
    torch.optim.SGD: 0,
    torch.optim.Adam: 1,
    torch.optim.AdamW: 2,
    torch.optim.RMSprop: 3,
}


class LayerStruct(ctypes.Structure):
    """A layer of the network: its kind, and where its numbers lie."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("kind", "activation", "weight", "bias")),
        *((name, ctypes.c_int64) for name in ("mean", "var", "row", "place")),
        ("number", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("first", "second")),
    ]


class NetStruct(ctypes.Structure):
    """All lanes of a network, and the samples that go through it."""

    _fields_ = [
        ("layers", ctypes.POINTER(LayerStruct)),
        *((name, ctypes.c_int64) for name in ("count", "lanes")),
        ("widths", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("numbers", ctypes.c_int64),
        ("running", ctypes.c_void_p),
        ("running_numbers", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("x", "y", "smoothing", "weights")),
    ]


class StepsStruct(ctypes.Structure):
    """Steps of the optimizer, with the numbers that lanes have of it."""

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


class EvaluationStruct(ctypes.Structure):
    """An evaluation of the samples, and where its results go."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("samples", "batch")),
        *((name, ctypes.c_void_p) for name in ("probabilities", "losses")),
    ]


def layout() -> str:
    """Where the fields lie of what goes to `loop.cpp`, and the order of each optimizer's numbers."""
    words = []
    for struct in (LayerStruct, NetStruct, StepsStruct, EvaluationStruct):
        words += [f"{name}:{getattr(struct, name).offset}" for name, *_ in struct._fields_]
        words.append(f"{struct.__name__.removesuffix('Struct')}:{ctypes.sizeof(struct)}")
    for target, number in OPTIMIZERS.items():
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
        raise OSError("loop.cpp does not go with binding.py: {} there, {} here".format(*differ[0]))
    pointer = ctypes.c_void_p
    for kind in ("float", "double"):
        for name in ("train", "evaluate"):
            function = getattr(found, f"{name}_{kind}")
            function.argtypes = [pointer, pointer, pointer, ctypes.c_int64]
            function.restype = ctypes.c_int
    return found
