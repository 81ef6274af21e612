"""What is launched on a GPU, recorded as a CUDA graph: the host then launches all of it as one thing.

A graph is done again on the same memory, by the same numbers of the host: what is to change from one time
to the next must be in tensors that stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

_WARM = 3
"""Times that it is launched before it is recorded: libraries make themselves room in the first."""

ROUNDING = 0.05
"""How far numbers may come away from others, as a share: Adam steps by the sign of what is all but 0."""


def recorded(
    launch: Callable[[], T], changed: Sequence[Tensor] = ()
) -> tuple[Callable[[], None], T]:
    """Record what ``launch`` launches, which leaves no trace.

    Args:
        launch: copies nothing from the host, and waits for nothing.
        changed: all that it changes.

    Returns:
        what does it again, and what it gave: tensors that are then written anew.

    Raises:
        RuntimeError: it cannot be recorded, or there is no memory; what is ``changed`` may be so.
    """
    before = [tensor.detach().clone() for tensor in changed]

    def launched() -> T:
        given = launch()
        with torch.no_grad():  # at once: where it counts, the next is beyond what there is
            for tensor, own in zip(changed, before, strict=True):
                tensor.copy_(own)
        return given

    beside, here = torch.cuda.Stream(), torch.cuda.current_stream()
    with torch.cuda.stream(here):  # where one cannot be recorded, torch stays beside
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(_WARM):
                launched()
        here.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = launch()
    return graph.replay, found


def apart(found: Tensor, wanted: Tensor) -> float:
    """How far the rows of a matrix have come away at most, as a share of their length.

    Where both are the same infinity, or no number, they are the same; 1 where one alone is no number.
    """
    same = (found == wanted) | (found.isnan() & wanted.isnan())
    off = torch.linalg.vector_norm((found - wanted).masked_fill(same, 0), dim=1)
    least = torch.finfo(wanted.dtype).tiny
    length = torch.linalg.vector_norm(wanted.nan_to_num(0, 0, 0), dim=1).clamp(min=least)
    return float((off / length).nan_to_num(1.0).max())
