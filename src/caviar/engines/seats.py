"""What a stack is: who is on which of its lanes, and what can be done with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

from caviar.engines.progress import Ended, Progress

T = TypeVar("T", bound=Progress)


class Seats(ABC, Generic[T]):
    """The lanes of a stack of one kind of trainings, which all go through an epoch together.

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
    def taken(self) -> list[tuple[int, T]]:
        """The lanes that have a training, each with it."""
        return [(lane, own) for lane, own in enumerate(self.trainings) if own is not None]

    @property
    def active(self) -> list[int]:
        """The lanes that have a training."""
        return [lane for lane, _ in self.taken]

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

    @abstractmethod
    def holds(self, training: T) -> bool:
        """Whether a training fits in."""

    @abstractmethod
    def resized(self, lanes: int, more: Sequence[T] = ()) -> Seats[T]:
        """A stack of so many lanes with the same trainings, which ``more`` fit into."""

    @abstractmethod
    def tick(self) -> list[Ended]:
        """Train all an epoch; what it came to, lane by lane."""

    @abstractmethod
    def rewind(self) -> None:
        """Go back to where the epoch under way began."""

    @abstractmethod
    def fetch(self, lanes: Sequence[int]) -> None:
        """Have some lanes where they can be read, all together."""

    @abstractmethod
    def checkpoint(self, lane: int) -> dict[str, Any]:
        """A lane's best weights as Lightning has a checkpoint."""

    @abstractmethod
    def save(self, lane: int) -> dict[str, Any]:
        """What `load` takes to go on with a lane elsewhere."""

    @abstractmethod
    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Go on with a lane from what `save` gave."""
