"""What is launched on a GPU, recorded as a CUDA graph: the host then launches all of it as one thing.

A graph is done again on the same memory, by the same numbers of the host: what is to change from one time
to the next must be in tensors that stay where they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
        RuntimeError: it cannot be recorded, or there is no memory.
        Exception: of ``launch``.
    """
    before = copied(changed)
    beside, here = torch.cuda.Stream(), torch.cuda.current_stream()
    try:
        with torch.cuda.stream(here):  # where one cannot be recorded, torch stays beside
            beside.wait_stream(here)
            with torch.cuda.stream(beside), _without_waits():
                for _ in range(_WARM):
                    launch()
                    put_back(
                        changed, before
                    )  # at once: where it counts, the next is beyond what there is
            here.wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                found = launch()
    except BaseException:
        with suppress(RuntimeError):  # a lost GPU's: the first says it better
            here.wait_stream(beside)
            put_back(changed, before)
        raise
    return graph.replay, found


def copied(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Copies of what they hold."""
    return [tensor.detach().clone() for tensor in tensors]


def put_back(tensors: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Have them hold what they held before."""
    with torch.no_grad():
        for tensor, own in zip(tensors, before, strict=True):
            tensor.copy_(own)


@contextmanager
def _without_waits() -> Iterator[None]:
    """Have a wait for the device be an error: within a graph's recording it leaves torch in a bad state."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch does not find them all
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def apart(found: Tensor, wanted: Tensor) -> float:
    """How far the rows of a matrix have come away at most, as a share of their length.

    Where both are the same infinity, or no number, they are the same; 1 where one alone is no number.
    """
    return most_apart([(found, wanted)])


def most_apart(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The same of some pairs of matrices: the most, for which the host waits once."""
    return float(torch.stack([_apart(found, wanted) for found, wanted in pairs]).max())


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    same = (found == wanted) | (found.isnan() & wanted.isnan())
    off = torch.linalg.vector_norm((found - wanted).masked_fill(same, 0), dim=1)
    least = torch.finfo(wanted.dtype).tiny
    length = torch.linalg.vector_norm(wanted.nan_to_num(0, 0, 0), dim=1).clamp(min=least)
    return (off / length).nan_to_num(1.0).max().double()
