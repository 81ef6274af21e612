"""An attribute of a module as a tree: numbers and tensors, which lanes may differ in, and the rest.

A step runs once for all lanes, so what its code keeps in attributes has to be told apart: a tensor is each
lane's own, a number is where lanes differ in it, and all else has to be the same in each of them.
"""

from __future__ import annotations

import enum
import pickle
import types
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caviar.engines.experiment import NotFusibleError

Path = tuple[Any, ...]
"""How a leaf is reached: the keys, indices and attribute names on the way."""

NUMBERS = (int, float)

_PLAIN = (
    bool | str | bytes | None | complex | range | slice | torch.dtype | torch.device | torch.Size
)
_LIBRARIES = ("torch", "numpy", "builtins", "collections", "functools")
_CODE = type | types.ModuleType | types.BuiltinFunctionType


@dataclass(frozen=True)
class Tree:
    """What `flatten` gives.

    Attributes:
        spec: all of it but the leaves; two with the same differ in leaves alone.
        paths: of the leaves, in order.
        leaves: numbers and tensors.
    """

    spec: Any
    paths: tuple[Path, ...]
    leaves: list[Any]


Names = Mapping[int, str]
"""The id of each module that is registered -> its name."""


def flatten(thing: Any, names: Names, where: str) -> Tree:
    """Take an attribute apart.

    Args:
        names: modules that it may point to.
        where: what it is called, for errors.

    Raises:
        NotFusibleError: there is something in it that lanes could not have each of their own.
    """
    paths: list[Path] = []
    leaves: list[Any] = []
    spec = _flatten(thing, names, where, (), paths, leaves, set())
    return Tree(spec, tuple(paths), leaves)


def _flatten(
    thing: Any,
    names: Names,
    where: str,
    path: Path,
    paths: list[Path],
    leaves: list[Any],
    above: set[int],
) -> Any:
    kind = type(thing)
    if thing.__class__ in NUMBERS or isinstance(
        thing, Tensor
    ):  # one that stands for a number is one
        paths.append(path)
        leaves.append(thing)
        return "leaf"
    if isinstance(thing, _PLAIN | enum.Enum):
        return (kind, thing if not isinstance(thing, slice) else repr(thing))
    if isinstance(thing, nn.Module):
        if id(thing) not in names:
            raise NotFusibleError(
                f"{where} holds a {kind.__name__} that is no part of the module: "
                "assigned as an attribute, or in a ModuleList, it would be"
            )
        return ("module", names[id(thing)])
    if id(thing) in above:
        raise NotFusibleError(f"{where} holds itself")
    above = above | {id(thing)}

    def inner(key: Any, value: Any) -> Any:
        return _flatten(value, names, where, (*path, key), paths, leaves, above)

    if isinstance(thing, dict):
        return (kind, tuple((key, inner(key, value)) for key, value in thing.items()))
    if isinstance(thing, list | tuple | deque):
        return (kind, tuple(inner(n, value) for n, value in enumerate(thing)))
    if isinstance(thing, set | frozenset):
        return (kind, frozenset(thing))
    return _other(thing, names, where, inner)


def _other(thing: Any, names: Names, where: str, inner: Callable[[Any, Any], Any]) -> Any:
    kind = type(thing)
    if isinstance(thing, _CODE):
        return (
            kind.__name__,
            getattr(thing, "__module__", ""),
            getattr(thing, "__qualname__", thing),
        )
    if isinstance(thing, types.FunctionType):
        return _function(thing, where)
    if isinstance(thing, types.MethodType):
        if (name := names.get(id(thing.__self__))) is not None:
            return ("method", thing.__func__, name)
        return ("method", thing.__func__, _token(thing.__self__, where))
    if isinstance(thing, partial):
        held = inner("args", thing.args), inner("keywords", thing.keywords)
        return ("partial", _token(thing.func, where), held)
    if isinstance(thing, torch.Generator | np.random.Generator | np.random.RandomState):
        raise NotFusibleError(
            f"{where} is a random generator: lanes draw from torch's own, torch.rand(…) without generator="
        )
    if isinstance(thing, np.ndarray | np.generic):
        return (kind, thing.dtype.str, thing.shape, thing.tobytes())
    if is_object(thing):
        return (kind, tuple((key, inner(key, value)) for key, value in vars(thing).items()))
    return _pickled(thing, where)


def is_object(thing: Any) -> bool:
    """Whether a thing is taken apart by its attributes: an object of somebody's own class.

    One with slots, which OmegaConf's containers have, is compared whole.
    """
    package = type(thing).__module__.partition(".")[0]
    if isinstance(thing, enum.Enum | int) or package in _LIBRARIES:
        return False
    return hasattr(thing, "__dict__") and not hasattr(type(thing), "__slots__")


def _pickled(thing: Any, where: str) -> Any:
    try:
        return (type(thing), pickle.dumps(thing))
    except Exception as error:
        raise NotFusibleError(
            f"{where} holds a {type(thing).__module__}.{type(thing).__qualname__}, "
            "which lanes cannot compare"
        ) from error


def _function(thing: types.FunctionType, where: str) -> Any:
    cells = [cell.cell_contents for cell in thing.__closure__ or ()]
    held = (cells, thing.__defaults__, thing.__kwdefaults__)
    return ("function", thing.__code__, tuple(_token(one, where) for one in held))


def _token(thing: Any, where: str) -> Any:
    """All of a thing, leaves too, to compare: a change in it is no lane's own."""
    held = f"{where}, a function,"  # which the copy that steps would share with the lane it is of
    tree = flatten(thing, {}, held)
    if any(isinstance(leaf, Tensor) for leaf in tree.leaves):
        raise NotFusibleError(f"{held} holds a tensor: a method of the module would do")
    return (tree.spec, tuple(tree.leaves))
