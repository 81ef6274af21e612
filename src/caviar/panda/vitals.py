"""What a training shows of itself: what the health checks look at."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

MOST = 40
"""Epochs that are kept, beside the first."""


@dataclass
class Vitals:
    """What one epoch showed. Layers are named as in ``named_modules``; looks are at single steps.

    Attributes:
        epoch: from 0.
        steps: of the optimizer since the training began.
        annealed: the learning rate over the one that its schedule started from.
        train_loss, val_loss: means over the epoch; None where not logged.
        seconds: that training took, without validation, edits and pauses.
        steps_per_second: batches over ``seconds``.
        grad_norm: the gradient's norm over all parameters before clipping.
        gradients: layer -> norm of its weights' gradient before clipping, first layer first.
        update_ratio: layer -> norm of one step's update over the norm of its weights.
        dead: layer -> share of units whose output was 0 for a whole batch.
        shift: batch norm -> distance of a batch's mean from the running mean, in running standard
            deviations; median over units.
        spread: batch norm -> a batch's standard deviation over the running one; median over units.
    """

    epoch: int
    steps: int = 0
    annealed: float = 1.0
    train_loss: float | None = None
    val_loss: float | None = None
    seconds: float | None = None
    steps_per_second: float | None = None
    grad_norm: float | None = None
    gradients: dict[str, float] = field(default_factory=dict)
    update_ratio: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    shift: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """The epochs of a training so far.

    Attributes:
        epochs: oldest first; of a long training the first and the last `MOST`.
        start: the loss of the very first step, which every later loss is held against.
    """

    epochs: list[Vitals] = field(default_factory=list)
    start: float | None = None

    def add(self, vitals: Vitals) -> None:
        """One more epoch is over."""
        if len(self.epochs) > MOST:
            del self.epochs[1]
        self.epochs.append(vitals)

    def back_to(self, epoch: int) -> None:
        """Forget ``epoch`` and what came after it."""
        self.epochs = [one for one in self.epochs if one.epoch < epoch]

    def losses(self, name: str) -> list[float]:
        """The finite values of ``train_loss`` or ``val_loss``, oldest first."""
        values = [getattr(one, name) for one in self.epochs]
        return [value for value in values if value is not None and math.isfinite(value)]

    def looks(self, name: str) -> list[Any]:
        """What the epochs in which there was a look saw of ``name``, oldest first."""
        return [value for one in self.epochs if (value := getattr(one, name))]

    def state(self) -> dict[str, Any]:
        """All of it, as plain containers."""
        return {"start": self.start, "epochs": [asdict(one) for one in self.epochs]}

    @classmethod
    def of(cls, state: dict[str, Any]) -> History:
        """What `state` told."""
        return cls([Vitals(**one) for one in state["epochs"]], state["start"])
