"""Data that many trainings of a process describe alike: read once, its tensors and arrays held once.

Each training has a LightningDataModule of its own all the same, which its hooks may change: all but the
numbers is copied.
"""

from __future__ import annotations

import io
import json
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from caviar.lightning.seeding import seeded

_MOST = 8
"""Data that are kept at once: a sweep may choose between some."""

_LOOKED_AT = 1024
"""Numbers of an array that are looked at, to see whether somebody has changed it."""

_sharing: ContextVar[bool] = ContextVar("sharing", default=False)
_kept: dict[str, _Original | None] = {}


@contextmanager
def sharing_data() -> Iterator[None]:
    """In the block, `caviar.lightning.make_data` gives what is set up for ``fit`` already, where it can."""
    token = _sharing.set(True)
    try:
        yield
    finally:
        _sharing.reset(token)


def shared(settings: Mapping[str, Any], seed: int, make: Callable[[], Any]) -> Any:
    """The data that ``make`` makes, or a copy of what it made before of the same settings.

    Data are not shared that draw random numbers as they are set up, ask for their Trainer, hold what cannot
    be pickled or a network, or whose numbers are changed in place.

    Args:
        settings: that they follow from, with ``seed``.
    """
    if not _sharing.get():
        return make()
    key = json.dumps([settings, seed], default=repr, sort_keys=True)
    if key not in _kept:
        while len(_kept) >= _MOST:
            _kept.pop(next(iter(_kept)))
        _kept[key] = _original(make, seed)
    original = _kept[key]
    if original is None or original.changed():
        _kept[key] = None
        return make()
    return original.copy()


@dataclass(frozen=True)
class _Original:
    """Data that are set up: all but their numbers as bytes, and these by their place."""

    pickled: bytes
    numbers: list[Any]
    marks: list[int]

    def changed(self) -> bool:
        """Whether somebody has written into its numbers."""
        return [*map(_mark, self.numbers)] != self.marks

    def copy(self) -> Any:
        """The data, with numbers that are shared by all copies."""
        reader = pickle.Unpickler(io.BytesIO(self.pickled))
        reader.persistent_load = self.numbers.__getitem__  # type: ignore[method-assign]
        data = reader.load()
        # What a Trainer would ask for first is done.
        vars(data)["prepare_data"] = lambda: None
        vars(data)["setup"] = lambda stage=None: (
            None if stage == "fit" else type(data).setup(data, stage)
        )
        return data


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.numbers: list[Any] = []
        self._places: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, nn.Module) or (isinstance(obj, Tensor) and obj.requires_grad):
            raise pickle.PicklingError("each training must have its own")
        plain = isinstance(obj, np.ndarray) and obj.dtype != object and obj.flags.c_contiguous
        if not (plain or isinstance(obj, Tensor)):
            return None
        if id(obj) not in self._places:
            self._places[id(obj)] = len(self.numbers)
            self.numbers.append(obj)
        return self._places[id(obj)]


def _original(make: Callable[[], Any], seed: int) -> _Original | None:
    try:
        with seeded(seed, gpu=False):
            before = _random_state()
            data = make()
            data.prepare_data()
            data.setup("fit")
            if _random_state() != before:
                return None
        pickler = _Pickler(file := io.BytesIO())
        pickler.dump(data)
    except Exception:  # whoever makes them for himself will meet it, and say it
        return None
    return _Original(file.getvalue(), pickler.numbers, [*map(_mark, pickler.numbers)])


def _random_state() -> bytes:
    return pickle.dumps((torch.get_rng_state().numpy(), np.random.get_state(), random.getstate()))


def _mark(numbers: Any) -> int:
    """What changes when somebody writes into a tensor, or, most probably, into an array."""
    if isinstance(numbers, Tensor):
        return numbers._version
    flat = numbers.reshape(-1)
    return crc32(flat[:: max(1, flat.size // _LOOKED_AT)].tobytes())
