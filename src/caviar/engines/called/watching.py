"""What a step's code does beside computing, seen while it runs: its tape has none of it."""

from __future__ import annotations

import dis
import gc
import io
import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from types import CellType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caviar.engines.called.reasons import is_somebodys, short

_CALLS = (print, open, input)
_SYSTEM = ("time", "posix", "_socket", "_posixsubprocess", "signal")
_HARMLESS = ("fspath", "getpid")
_PLAIN = bool | int | float | complex | str | bytes | None
_MOST = 10_000
"""Values that are looked at in what code refers to, at most; of a longer container, how long it is."""

_ABSENT = object()


class Watch:
    """Watches what is called while it is entered, and what of it is left outside.

    Attributes:
        seen: the first thing that was done beside computing, and where; None: nothing.
    """

    def __init__(self) -> None:
        self.seen: str | None = None
        self._known: set[CodeType] = set()
        self._outside: dict[tuple[int, str], tuple[Callable[[], Any], Hashable, str]] = {}

    def __enter__(self) -> Watch:
        self._profile, self._collects = sys.getprofile(), gc.isenabled()
        gc.disable()  # what is called when it is at work is no part of what is watched
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._profile)
        if self._collects:
            gc.enable()
        self.seen = self.seen or self.changed()

    def changed(self) -> str | None:
        """What of all that the code names outside is not what it was; None: nothing."""
        for look, before, said in self._outside.values():
            if _print(look()) != before:
                return said
        return None

    def _event(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            owner, module = getattr(arg, "__self__", None), getattr(arg, "__module__", None)
            system = module in _SYSTEM and arg.__name__ not in _HARMLESS
            seeds = isinstance(owner, torch.Generator) and arg.__name__ != "get_state"
            if system or seeds or isinstance(owner, io.IOBase) or any(arg is one for one in _CALLS):
                self._see(f"calls {arg.__name__}", frame)
        elif event == "call" and frame.f_code not in self._known:
            self._known.add(frame.f_code)
            if is_somebodys(frame.f_globals.get("__name__")):
                self._look_at(frame)

    def _see(self, what: str, frame: FrameType) -> None:
        at: FrameType | None = frame
        while at is not None and not is_somebodys(at.f_globals.get("__name__")):
            at = at.f_back
        where = "" if at is None else f"{short(at.f_code.co_filename)}:{at.f_lineno}: "
        self.seen = self.seen or f"{where}it {what}"

    def _look_at(self, frame: FrameType) -> None:
        """Note what is there, outside, that a piece of code names."""
        where = f"{short(frame.f_code.co_filename)}:{frame.f_lineno}"
        for holder, name, look in _outside(frame):
            if (holder, name) in self._outside:
                continue
            thing = look()
            if hasattr(type(thing), "__next__"):
                self._see(f"names {name}, which goes on by itself", frame)
            said = f"{where}: it changes {name}, which is no part of its module"
            self._outside[holder, name] = look, _print(thing), said
        for own in dis.get_instructions(frame.f_code):
            if own.opname == "STORE_DEREF" and own.argval in frame.f_code.co_freevars:
                self._see(f"changes {own.argval} of the function around it", frame)


def _outside(frame: FrameType) -> Iterator[tuple[int, str, Callable[[], Any]]]:
    """What code names that is not its own: whose it is, its name, and what gives it."""
    code, around = frame.f_code, frame.f_globals
    for name in code.co_names:
        yield id(around), name, lambda name=name: around.get(name, _ABSENT)
        module = around.get(name)
        if isinstance(module, ModuleType) and is_somebodys(module.__name__):
            for inner in code.co_names:
                yield id(module), inner, lambda at=module, inner=inner: vars(at).get(inner, _ABSENT)
    local = frame.f_locals
    for name in code.co_freevars:
        if name in local and name != "__class__":
            yield id(code), name, lambda own=local[name]: own
    if code.co_argcount and code.co_varnames[0] in local:
        for kind in type(local[code.co_varnames[0]]).__mro__:
            if is_somebodys(kind.__module__):
                yield id(kind), kind.__name__, lambda kind=kind: kind


def _print(thing: Any) -> Hashable:
    """What tells a thing from what it was, if it is changed."""
    left = [_MOST]
    above: set[int] = set()

    def of(thing: Any) -> Hashable:
        left[0] -= 1
        kind, own = type(thing), id(thing)
        if isinstance(thing, _PLAIN):
            return kind, repr(thing)
        if isinstance(thing, Tensor):
            return own, None if thing.is_inference() else thing._version
        if isinstance(thing, np.ndarray):
            return own, thing.size, hash(thing.tobytes()) if thing.nbytes <= _MOST else None
        if left[0] < 0 or own in above:
            return own
        if isinstance(thing, tuple):
            return kind, tuple(map(of, thing))
        if isinstance(thing, CellType):
            return of(thing.cell_contents) if thing != CellType() else own
        above.add(own)
        if isinstance(thing, dict | list | set | deque):
            few = thing if len(thing) <= _MOST else ()
            return kind, len(thing), inner(few) if isinstance(few, dict) else tuple(map(of, few))
        named = thing if isinstance(thing, type | FunctionType) else kind
        if isinstance(thing, nn.Module | ModuleType) or not is_somebodys(named.__module__):
            return own
        if isinstance(thing, FunctionType):
            kept = thing.__defaults__, thing.__kwdefaults__, thing.__closure__
            return own, tuple(map(of, kept)), inner(vars(thing))
        return own, inner(getattr(thing, "__dict__", {}))

    def inner(things: Mapping[Any, Any]) -> Hashable:
        return tuple((of(key), of(value)) for key, value in things.items())

    try:
        return of(thing)
    except Exception:  # what cannot be looked at may have changed
        return object()
