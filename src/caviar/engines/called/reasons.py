"""Why a training is no lane: in one line, with the file and line that it is about."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from caviar.base.errors import name_and_text
from caviar.engines.experiment import NotFusibleError

_LIBRARIES = {
    "", "torch", "lightning", "torchmetrics", "numpy", "caviar", "lightning_utilities",
    *sys.stdlib_module_names,
}  # fmt: skip

_KNOWN: dict[str, str] = {
    "data-dependent control flow": (
        "it decides by a tensor's value: torch.where, in place of if, would do"
    ),
    ".item()": "it takes a number out of a tensor: keeping it a tensor would do",
    "vmap: inplace arithmetic": "it changes a tensor in place that all lanes share",
    "dynamic shape": "what it makes has a shape that hangs on values: a mask would do",
    "doesn't have storage": "it leaves torch for numpy or Python: torch's own operations would do",
    "sparse": "it has sparse gradients",
    "randomness": "it draws in a way that lanes cannot",
}
"""What torch's own message says -> what it means, and what would make it a lane."""


def place(error: BaseException) -> str | None:
    """The last line of somebody's own code that an error came through, as ``file:line``."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if is_somebodys(frame.f_globals.get("__name__")):
            found = f"{short(frame.f_code.co_filename)}:{line}"
    return found


def is_somebodys(module: Any) -> bool:
    """Whether a module of this name is no library's that lanes build upon."""
    return str(module or "").partition(".")[0] not in _LIBRARIES


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Say of what torch's errors mean, in a block that calls a step: a Trainer can do more than lanes.

    Raises:
        NotFusibleError: torch cannot do this for many lanes at once.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except NotFusibleError as error:
        raise located(error) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise
        raise NotFusibleError(of_error(error, what)) from error


def located(error: NotFusibleError) -> NotFusibleError:
    """The error, with the line of the project's own code that it is about, where there is one."""
    where = place(error)
    return error if where is None else NotFusibleError(f"{where}: {error}")


def of_error(error: BaseException, what: str) -> str:
    """Why a step that a Trainer can do is none for lanes.

    Args:
        what: the name of the step.
    """
    text = name_and_text(error)
    meaning = next((said for sign, said in _KNOWN.items() if sign in text), text)
    where = place(error)
    return f"{where or what}: {meaning}" if where else f"{what}: {meaning}"


def of_code(thing: Callable[..., Any]) -> str:
    """Where a function stands: ``file:line``, or its name."""
    try:
        code = inspect.unwrap(thing).__code__  # type: ignore[attr-defined]
    except AttributeError:
        return getattr(thing, "__qualname__", repr(thing))
    return f"{short(code.co_filename)}:{code.co_firstlineno}"


def short(name: str) -> str:
    """A file's name as it is seen from here, where it is below."""
    near = os.path.relpath(name)
    return name if near.startswith("..") else near
