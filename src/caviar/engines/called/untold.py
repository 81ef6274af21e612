"""What a step must not take from the host, nor leave there: a graph would know nothing of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from caviar.engines.called.attributes import Gathered
from caviar.engines.called.changes import as_before
from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.reasons import place

_COUNTED = ("current_epoch", "global_step")
"""What a trainer says that is another number in the next step, or in the next epoch."""


class UntoldError(Exception):
    """Why a step is no graph."""


class Untold:
    """Stands for a number of the host's: it may be passed on, and no more.

    Args:
        look: is called by whoever looks at it, and raises.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return _looked_at(self)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for one in tree_leaves((args, kwargs)):
            if type(one) is cls:
                _looked_at(one)


def _looked_at(untold: Any, *_: Any, **__: Any) -> Any:
    object.__getattribute__(untold, "_look")()


_LEFT = {
    "__class__",
    "__doc__",
    "__init__",
    "__init_subclass__",
    "__new__",
    "__setattr__",
    "__subclasshook__",
}

for _name in {name for kind in (int, float, list) for name in dir(kind)} - _LEFT:
    if _name.startswith("__"):
        setattr(Untold, _name, _looked_at)


def why_not(name: str, error: Exception) -> str:
    """Why a step of this name could not be recorded, in one line."""
    if isinstance(error, UntoldError):
        return str(error)
    text = str(error).strip().partition("\n")[0]
    return f"{place(error) or name}: {type(error).__name__}: {text}"


@contextmanager
def untold(trainer: LaneTrainer, method: str, lifted: Container[str]) -> Iterator[Untold]:
    """For the block, have a step's trainer not say what it counts.

    Args:
        lifted: what of that are tensors, and so may be said.

    Yields:
        what stands for the index of the batch.

    Raises:
        UntoldError: it was asked for, or that index was: as soon as it is, or at the end.
    """
    asked: list[str] = []

    def stand_in(name: str) -> Untold:
        def look() -> None:
            asked.append(f"{method} reads {name}")
            raise UntoldError(asked[0])

        return Untold(look)

    said = {name: getattr(trainer, name) for name in _COUNTED if name not in lifted}
    vars(trainer).update({name: stand_in(f"trainer.{name}") for name in said})
    try:
        yield stand_in("batch_idx")
    except Exception as error:
        if not asked:
            raise
        raise UntoldError(asked[0]) from error  # it may have been caught, and have led to this
    finally:
        vars(trainer).update(said)
    if asked:
        raise UntoldError(asked[0])


def check_kept(method: str, trial: Gathered, gathered: Gathered) -> None:
    """See that a step has left all that is kept in attributes as it was, but for tensors of the same shape.

    Args:
        trial: the attributes after it; ``gathered``: before it.

    Raises:
        UntoldError: it has not.
    """
    changed = [
        place
        for place in trial.changed
        if place not in gathered.trees or not as_before(trial.trees[place], gathered.trees[place])
    ]
    before, now = (
        {leaf: (own.shape, own.dtype) for leaf, own in one.slots.items()}
        for one in (gathered, trial)
    )
    changed += [leaf[:2] for leaf in {**before, **now} if before.get(leaf) != now.get(leaf)]
    if changed:
        name = ".".join(word for word in ("self", *changed[0]) if word)
        raise UntoldError(f"{method} changes {name}, which is no tensor of one shape")


Random = tuple[Any, Any, Tensor]
"""Of the random numbers of Python, numpy and torch, how far they are drawn."""


def host_random() -> Random:
    """Those of the host."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def drawn_since(before: Random) -> bool:
    """Whether some of them were drawn."""
    now = host_random()
    of_numpy = zip(now[1], before[1], strict=True)
    same = now[0] == before[0] and all(np.array_equal(one, own) for one, own in of_numpy)
    return not (same and torch.equal(now[2], before[2]))


@contextmanager
def undrawn(name: str) -> Iterator[None]:
    """Leave all random numbers where they are, the GPU's too.

    Raises:
        UntoldError: some of the host's were drawn.
    """
    before, there = host_random(), torch.cuda.get_rng_state()
    try:
        yield
        if drawn_since(before):
            raise UntoldError(f"{name} draws on the host")
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        torch.cuda.set_rng_state(there)
