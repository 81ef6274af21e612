"""What stands for the host's numbers while a step is recorded: a graph would go on by the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils._pytree import tree_leaves


class Untold:
    """Stands for a number of the host's: it may be passed on, and no more.

    Args:
        look: is called by whoever looks at it, and raises.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for one in tree_leaves((args, kwargs)):
            if type(one) is cls:
                _looked_at(one)


def _looked_at(untold: Any, *_: Any, **__: Any) -> Any:
    object.__getattribute__(untold, "_look")()


_LEFT = {"__class__", "__doc__", "__init__", "__init_subclass__", "__new__", "__setattr__",
         "__subclasshook__"}  # fmt: skip

for _name in {name for kind in (int, float, list) for name in dir(kind)} - _LEFT:
    if _name.startswith("__"):
        setattr(Untold, _name, _looked_at)


class Tally(Untold):
    """Stands for a whole number that steps count up: of it a graph knows how far it goes on.

    Args:
        look: see `Untold`.
        added: what was added to it.
    """

    def __init__(self, look: Callable[[], None], added: int = 0) -> None:
        super().__init__(look)
        self._added = added

    def __getattribute__(self, name: str) -> Any:
        return int if name == "__class__" else _looked_at(self)

    def __add__(self, other: Any) -> Any:
        if type(other) is not int:
            return _looked_at(self)
        return Tally(object.__getattribute__(self, "_look"), added_to(self) + other)

    __radd__ = __iadd__ = __add__


def added_to(tally: Tally) -> int:
    """How far it has been counted up."""
    return object.__getattribute__(tally, "_added")
