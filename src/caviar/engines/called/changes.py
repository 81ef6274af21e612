"""What a step leaves behind: its loss, and what it has set in its module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from caviar.engines.called.attributes import Leaf
from caviar.engines.called.record import Out
from caviar.engines.called.trees import Tree
from caviar.engines.experiment import NotFusibleError


def loss_of(out: Any) -> Tensor:
    """The loss among what a training step returns, shape ``()``.

    Raises:
        NotFusibleError: there is none.
    """
    if isinstance(out, Mapping):
        if "loss" not in out:
            raise NotFusibleError("training_step returns a dict without loss")
        out = out["loss"]
    if not isinstance(out, Tensor):
        raise NotFusibleError(f"training_step returns {type(out).__name__}, no loss")
    if out.numel() != 1:
        raise NotFusibleError(f"training_step returns {out.numel()} numbers, not one loss")
    return out.reshape(())


@dataclass
class Changes:
    """Changes that a step has made: buffers that it replaced, and leaves of attributes that it set."""

    buffers: dict[str, Out] = field(default_factory=dict)
    leaves: dict[Leaf, Out] = field(default_factory=dict)
    gone: list[Leaf] = field(default_factory=list)

    def clear(self) -> None:
        """Forget them, before the next step."""
        self.buffers.clear()
        self.leaves.clear()
        self.gone.clear()


def as_before(tree: Tree, before: Tree) -> bool:
    """Whether an attribute is what it was, its tensors aside."""
    if (tree.spec, tree.paths) != (before.spec, before.paths):
        return False
    pairs = zip(tree.leaves, before.leaves, strict=True)
    return all(
        isinstance(now, Tensor) or (type(now) is type(then) and now == then) for now, then in pairs
    )
