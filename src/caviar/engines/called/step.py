"""A step of many lanes: what it takes, what does it, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from caviar.engines.called.attributes import Gathered
from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.record import Record

Tensors = dict[str, Tensor]

_SAID = ("max_epochs", "estimated_stepping_batches", "num_training_batches")
_PLAIN = int | float | str | bytes | None


@dataclass
class Stepped:
    """What a step gave.

    Attributes:
        loss: of each lane, shape ``(lanes,)``; None of a validation.
        outs: the tensors that its record is of, shape ``(lanes, …)``.
        gradients: of each lane's loss, shape ``(lanes, numbers)``, where they are not added up yet.
        unused: the parameters that the loss does not depend on.
    """

    loss: Tensor | None
    record: Record
    outs: list[Tensor]
    gradients: Tensor | None = None
    unused: frozenset[str] = frozenset()


Launch = Callable[[Any, Mapping[str, Tensor], Any, Gathered], Stepped]
"""Does a step: of a batch, of what trainers say that differs, of the batch's index, and of attributes."""


class Taken:
    """What a step of a module takes.

    Args:
        trainer: whom the step asks.
        how: what else there is to know of how it is done.
        batch, lifted: see `Template.step`.

    Attributes:
        inputs: its tensors, which are others in each step.
        key: all else, which a record of the step has as it is.
        unknown: the type of what it takes that cannot be told from another; None: there is none.
    """

    def __init__(
        self, trainer: LaneTrainer, how: Hashable, batch: Any, lifted: Mapping[str, Tensor]
    ) -> None:
        self._leaves, self._spec = pytree.tree_flatten((batch, dict(lifted)))
        self.inputs = [leaf for leaf in self._leaves if isinstance(leaf, Tensor)]
        others = [leaf for leaf in self._leaves if not isinstance(leaf, Tensor | _PLAIN)]
        self.unknown = type(others[0]).__name__ if others else None
        says = tuple(getattr(trainer, name) for name in _SAID if name not in lifted)
        kinds = tuple(map(_kind, self._leaves))
        self.key: Hashable = (how, says, self._spec, kinds)

    def of(self, inputs: Sequence[Tensor]) -> tuple[Any, dict[str, Tensor]]:
        """The batch and what differs, of other tensors."""
        rest = iter(inputs)
        filled = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        return pytree.tree_unflatten(filled, self._spec)


def _kind(leaf: Any) -> Hashable:
    return (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else (type(leaf), leaf)
