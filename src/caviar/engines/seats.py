"""Who is on which lane of a stack."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Kind(Protocol):
    """A training that has a kind: those of one kind may share a stack."""

    @property
    def key(self) -> Hashable:
        """The kind."""
        ...


T = TypeVar("T", bound=Kind)


class Seats(Generic[T]):
    """The lanes of a stack of one kind of trainings.

    Args:
        key: the kind.
        lanes: how many there are.

    Attributes:
        trainings: by lane; None where it is free.
    """

    def __init__(self, key: Hashable, lanes: int) -> None:
        self.key = key
        self.lanes = lanes
        self.trainings: list[T | None] = [None] * lanes

    @property
    def active(self) -> list[int]:
        """The lanes that have a training."""
        return [lane for lane, training in enumerate(self.trainings) if training is not None]

    @property
    def free(self) -> list[int]:
        """The lanes that have none."""
        return [lane for lane, training in enumerate(self.trainings) if training is None]

    def on(self, lane: int) -> T:
        """The training on a lane that has one."""
        training = self.trainings[lane]
        assert training is not None
        return training

    def admit(self, training: T, lane: int | None = None) -> int:
        """Put a training on a lane, the first free one unless it is said which."""
        lane = self.free[0] if lane is None else lane
        assert self.trainings[lane] is None
        assert training.key == self.key
        self.trainings[lane] = training
        return lane

    def release(self, lane: int) -> None:
        """Empty a lane."""
        self.trainings[lane] = None
