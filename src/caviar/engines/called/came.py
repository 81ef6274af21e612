"""What a step comes to by a record of it, and what by itself, compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caviar.engines.called.step import Stepped
from caviar.engines.stacked.recording import ROUNDING, most_apart

Came = tuple[list[Tensor], Stepped | None]
"""What a step has changed, and what it gave."""


def difference(before: list[Tensor], found: Came, wanted: Came) -> str | None:
    """In what a graph is not what the step is that it was recorded of; None: in nothing.

    Args:
        before: what it changes, shape ``(lanes, …)``, before it did.
        found: by the graph; ``wanted``: by the step.
    """
    if _told(found[1]) != _told(wanted[1]):
        return "logs other things than it did when it was recorded"
    off = _off(before, found, wanted)
    return f"comes {off:.2g} away from what it comes to one by one" if off > ROUNDING else None


def _told(stepped: Stepped | None) -> str:
    """What a step has the host do after it, and the shapes of what it gave, to compare."""
    if stepped is None:
        return ""
    return repr((stepped.record.calls, stepped.record.logs, [out.shape for out in stepped.outs]))


def _off(before: list[Tensor], found: Came, wanted: Came) -> float:
    """How far a graph has come away from a step: by how it moved numbers, and by what it gave."""

    def matrices(came: Came) -> list[Tensor]:
        changed, stepped = came
        pairs = zip(changed, before, strict=True)
        moved = [now - then for now, then in pairs if then.is_floating_point()]
        loss = [] if stepped is None or stepped.loss is None else [stepped.loss]
        outs = [] if stepped is None else [out for out in stepped.outs if out.is_floating_point()]
        each = moved[:1], moved[1:], loss, outs  # by its own length each
        return [torch.cat([own[:, None].flatten(1) for own in some], 1) for some in each if some]

    pairs = list(zip(matrices(found), matrices(wanted), strict=True))
    for one, other in zip(found[0], wanted[0], strict=True):
        if not one.is_floating_point():
            same = (one == other).all().float().reshape(1, 1)
            pairs.append((same, torch.ones_like(same)))
    return most_apart(pairs) if pairs else 0.0


def same(mine: Sequence[Tensor], its: Sequence[Tensor]) -> bool:
    """Whether tensors hold the very same numbers, or none, at the same places."""
    return len(mine) == len(its) and all(
        one.shape == other.shape
        and one.dtype == other.dtype
        and bool(((one == other) | ((one != one) & (other != other))).all())
        for one, other in zip(mine, its, strict=True)
    )
