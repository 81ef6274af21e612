"""Measurements of a training, by epoch: the input of the health checks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

EPOCHS_KEPT = 40
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
        epochs: oldest first; of a long training the first and the last `EPOCHS_KEPT`.
        start: the loss of the very first step, which every later loss is held against.
    """

    epochs: list[Vitals] = field(default_factory=list)
    start: float | None = None
    _series: dict[str, list[Any]] = field(default_factory=dict, repr=False, compare=False)

    def add(self, vitals: Vitals) -> None:
        """One more epoch is over."""
        if len(self.epochs) > EPOCHS_KEPT:
            del self.epochs[1]
        self.epochs.append(vitals)
        self._series = {}

    def back_to(self, epoch: int) -> None:
        """Forget ``epoch`` and what came after it."""
        self.epochs = [one for one in self.epochs if one.epoch < epoch]
        self._series = {}

    def losses(self, name: str) -> list[float]:
        """The finite values of ``train_loss`` or ``val_loss``, oldest first."""
        if name not in self._series:  # which several checks look at
            values = [getattr(one, name) for one in self.epochs]
            self._series[name] = [v for v in values if v is not None and math.isfinite(v)]
        return self._series[name]

    def looks(self) -> list[Vitals]:
        """The epochs in which a step was looked at, oldest first."""
        if "looks" not in self._series:
            self._series["looks"] = [one for one in self.epochs if one.grad_norm is not None]
        return self._series["looks"]

    def state(self) -> dict[str, Any]:
        """All of it, as plain containers."""
        return {"start": self.start, "epochs": [asdict(one) for one in self.epochs]}

    @classmethod
    def of(cls, state: dict[str, Any]) -> History:
        """A history from its `state`."""
        return cls([Vitals(**one) for one in state["epochs"]], state["start"])
