"""What goes to `loop.cpp` and how it lies in memory, and the compiled library itself.

`loop.cpp` is compiled for this machine when it is first needed, which takes some seconds, and kept
in the user's folder for caches.
"""

from __future__ import annotations

import ctypes
import tempfile
from functools import cache
from itertools import pairwise, zip_longest
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


_KINDS = {"q": ctypes.c_int64, "d": ctypes.c_double, "P": ctypes.c_void_p}
"""All of eight bytes."""


@cache
def structures() -> dict[str, type[ctypes.Structure]]:
    """The structures of `loop.cpp` by name, with the fields that it says they have."""
    found = {}
    for line in library().layout().decode().splitlines()[:-1]:
        name, *words = line.split()
        members = []
        for (own, kind, begin), (_, _, end) in pairwise(word.split(":") for word in words):
            count = (int(end) - int(begin)) // 8
            members.append((own, _KINDS[kind] * count if count > 1 else _KINDS[kind]))
        # Without slots, a field that there is not could be set.
        found[name] = type(name, (ctypes.Structure,), {"_fields_": members, "__slots__": ()})
    return found


def _numbers() -> list[str]:
    """Each optimizer's numbers, in their order."""
    words = []
    for target, number in OPTIMIZERS.items():
        own = optimizer_of(f"torch.optim.{target.__name__}")
        words += [f"{name}:0" for name in (*own.constants, *own.columns)]
        words.append(f"{target.__name__}:{number}")
    return words


@cache
def library() -> ctypes.CDLL:
    """The compiled `loop.cpp`.

    Raises:
        OSError: there is no compiler, it failed (the message says what it said), or what it compiled
            does not agree with this module about an optimizer's numbers.
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
    built, known = found.layout().decode().splitlines()[-1].split(), _numbers()
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
