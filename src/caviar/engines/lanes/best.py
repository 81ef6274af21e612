"""Which trials of a worker keep their checkpoint: the best few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from caviar.base.direction import sign_of

T = TypeVar("T")


class BestFew(Generic[T]):
    """Keeps account of the best.

    Args:
        most: how many; None for all.
        direction: what is better.
    """

    def __init__(self, most: int | None, direction: str) -> None:
        self._most = most
        self._sign = -sign_of(direction)
        self._kept: list[tuple[float, T]] = []

    def add(self, ended: Sequence[tuple[float, T]]) -> tuple[list[bool], list[T]]:
        """Take in what has ended, score and trial.

        Returns:
            for each of them, whether it is among the best now; and the earlier trials that no longer are.
        """
        if self._most is None:
            return [True] * len(ended), []
        new = [(self._sign * score, one) for score, one in ended]
        # The sort is stable: of two that are as good, the earlier stays.
        ranked = sorted([*self._kept, *new], key=lambda pair: -pair[0])
        kept = ranked[: self._most]
        dropped = [pair[1] for pair in self._kept if not any(pair is one for one in kept)]
        self._kept = kept
        return [any(pair is one for one in kept) for pair in new], dropped
