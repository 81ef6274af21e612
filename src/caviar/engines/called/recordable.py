"""What a step must not take from the host, nor leave there: a graph would know nothing of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.engines.called.attributes import Gathered, Leaf, Place, rebuilt
from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.reasons import place
from caviar.engines.called.step import Stepped
from caviar.engines.called.tape import TapeError
from caviar.engines.called.template import Template
from caviar.engines.called.trees import Path, Tree
from caviar.engines.called.untold import Tally, Untold, added_to
from caviar.engines.stacked.recording import copied, put_back

COUNTED = ("current_epoch", "global_step")
"""What a trainer says that is another number in the next epoch, or in the next step."""


class UntoldError(Exception):
    """Why a step is no graph."""


class CountingError(Exception):
    """A step counts up what it keeps in attributes.

    Attributes:
        leaves: these.
    """

    def __init__(self, leaves: Iterable[Leaf]) -> None:
        super().__init__()
        self.leaves = frozenset(leaves)


@dataclass
class Graph:
    """A step recorded.

    Attributes:
        replay: does it again.
        inputs: what it reads anew each time.
        stepped: what it writes; None of an optimizer's.
        kept: what modules kept in attributes, but for what is each lane's own, or counted.
        places: the attributes that it sets.
        counts: how far it counts up what stands in some.
    """

    replay: Callable[[], None]
    inputs: list[Tensor]
    stepped: Stepped | None
    kept: Any = None
    places: frozenset[Place] = frozenset()
    counts: dict[Leaf, int] = field(default_factory=dict)

    def again(self, inputs: Sequence[Tensor]) -> Stepped | None:
        """Do it again; copies of what it gives, which the next time writes over."""
        put_back(self.inputs, inputs)
        self.replay()
        if self.stepped is None:
            return None
        loss = self.stepped.loss
        outs = copied(self.stepped.outs)
        return Stepped(None if loss is None else loss.clone(), self.stepped.record, outs)


def why_not(name: str, error: Exception) -> str:
    """Why a step of this name could not be recorded, in one line."""
    if isinstance(error, UntoldError):
        return str(error)
    if isinstance(error, TapeError):
        return f"{place(error) or name}: {error}"
    text = str(error).strip().partition("\n")[0]
    return f"{place(error) or name}: {type(error).__name__}: {text}"


@contextmanager
def untold(
    trainer: LaneTrainer,
    method: str,
    lifted: Container[str],
    counted: Iterable[Leaf] = (),
    names: Iterable[str] = COUNTED,
) -> Iterator[tuple[Untold, dict[Leaf, Tally]]]:
    """For the block, have a step's trainer not say what it counts.

    Args:
        lifted: what of that are tensors, and so may be said.
        counted: what the step counts up itself.
        names: what trainers count, and may not say.

    Yields:
        what stands for the index of the batch, and for what the step counts.

    Raises:
        UntoldError: one of them was asked for: as soon as it is, or at the end.
    """
    asked: list[str] = []

    def look(name: str) -> Callable[[], None]:
        def looked() -> None:
            asked.append(f"{method} reads {name}")
            raise UntoldError(asked[0])

        return looked

    said = {name: getattr(trainer, name) for name in names if name not in lifted}
    vars(trainer).update({name: Untold(look(f"trainer.{name}")) for name in said})
    try:
        yield Untold(look("batch_idx")), {leaf: Tally(look(_named(leaf))) for leaf in counted}
    except Exception as error:
        if not asked:
            raise
        raise UntoldError(asked[0]) from error  # it may have been caught, and have led to this
    finally:
        vars(trainer).update(said)
    if asked:
        raise UntoldError(asked[0])


def counts(method: str, trial: Gathered, gathered: Gathered) -> dict[Leaf, int]:
    """How far a step has counted what stands in attributes: all else it must leave as it was there, but for
    tensors of the same shape.

    Args:
        trial: the attributes after it; ``gathered``: before it.

    Raises:
        UntoldError: it has not.
        CountingError: it counts what was not known to be counted.
    """
    changed: list[Leaf] = []
    found: dict[Leaf, int] = {}
    new: list[Leaf] = []
    for where in trial.changed:
        tree, then = trial.trees[where], gathered.trees.get(where)
        if then is None or (tree.spec, tree.paths) != (then.spec, then.paths):
            changed.append((*where, ()))
            continue
        for path, own, old in zip(tree.paths, tree.leaves, then.leaves, strict=True):
            leaf = (*where, path)
            if type(own) is Tally:
                found[leaf] = added_to(own)
            elif isinstance(own, Tensor) or (type(own) is type(old) and own == old):
                continue
            elif type(own) is type(old) is int:
                new.append(leaf)
            else:
                changed.append(leaf)
    before, now = (
        {leaf: (own.shape, own.dtype) for leaf, own in one.slots.items()}
        for one in (gathered, trial)
    )
    changed += [leaf for leaf in {**before, **now} if before.get(leaf) != now.get(leaf)]
    if changed:
        raise UntoldError(f"{method} changes {_named(changed[0])}, which is no tensor of one shape")
    if new:
        raise CountingError(new)
    return found


def kept_in(gathered: Gathered, apart: Container[Leaf]) -> Any:
    """What modules keep in attributes, to compare; not what is each lane's own, or ``apart``."""
    slots = {leaf: (own.shape, own.dtype) for leaf, own in gathered.slots.items()}
    trees = [
        (where, tree.spec, tree.paths, [
            None if (*where, path) in slots or (*where, path) in apart else (type(leaf), leaf)
            for path, leaf in zip(tree.paths, tree.leaves, strict=True)
        ])
        for where, tree in gathered.trees.items()
    ]  # fmt: skip
    return trees, slots


def _named(leaf: Leaf) -> str:
    """An attribute's leaf as code has it."""
    name = ".".join(word for word in ("self", *leaf[:2]) if word)
    return name + "".join(f".{key}" if str(key).isidentifier() else f"[{key}]" for key in leaf[2])


def counted_on(gathered: Gathered, leaves: dict[Leaf, int]) -> dict[Place, dict[Path, Any]]:
    """Of attributes that were counted, what is then at their leaves; trees take it in.

    Args:
        leaves: how far each was counted.
    """
    found: dict[Place, dict[Path, Any]] = {}
    for (name, attribute, path), added in leaves.items():
        tree = gathered.trees[name, attribute]
        at = tree.paths.index(path)
        own = [*tree.leaves]
        own[at] += added
        gathered.trees[name, attribute] = Tree(tree.spec, tree.paths, own)
        found.setdefault((name, attribute), {})[path] = own[at]
    return found


class Counted:
    """How far steps have counted that were done without their code: their attributes say it when they must.

    Args:
        template: whose attributes.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self.leaves: dict[Leaf, int] = {}

    def add(self, counts: Mapping[Leaf, int]) -> None:
        """Count on by what one step counts."""
        for leaf, added in counts.items():
            self.leaves[leaf] = self.leaves.get(leaf, 0) + added

    def settle(self, gathered: Gathered) -> None:
        """Have the attributes say it."""
        template = self._template
        for where, leaves in counted_on(gathered, self.leaves).items():
            made = rebuilt(gathered.fixed[where], leaves, template.module, template.names)
            gathered.fixed[where] = made
            template.put({where: made})
        self.leaves.clear()


Random = tuple[Any, Any, Tensor]
"""Of the random numbers of Python, numpy and torch, how far they are drawn."""


def host_random() -> Random:
    """Those of the host."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def drawn_since(before: Random) -> bool:
    """Whether some of them were drawn."""
    return drawn_by_others(before) or not torch.equal(torch.get_rng_state(), before[2])


def drawn_by_others(before: Random) -> bool:
    """Whether some were drawn that are not torch's."""
    now = host_random()
    of_numpy = zip(now[1], before[1], strict=True)
    return now[0] != before[0] or not all(np.array_equal(one, own) for one, own in of_numpy)


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
