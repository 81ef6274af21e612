"""Learning-rate schedules: the share of ``optimizer.lr`` in force at a step, warm-up included."""

import math
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, ReduceLROnPlateau

from caviar.base.errors import UsageError


@dataclass(frozen=True)
class Length:
    """How long a training is, in optimizer steps.

    Attributes:
        steps: of the whole training; infinite where neither epochs nor steps are limited.
        epoch_steps: of one epoch.
    """

    steps: float
    epoch_steps: int


@dataclass(frozen=True)
class Schedule:
    """A constant learning rate, and the base of the others: each overrides `curve`.

    Attributes:
        warmup_epochs: the learning rate climbs linearly to its full value over so many epochs
            (0.5 is half an epoch); the curve begins when it is there.
    """

    warmup_epochs: float = 0.0

    @property
    def constant(self) -> bool:
        """Whether the learning rate stays what it is."""
        return type(self) is Schedule and not self.warmup_epochs

    def curve(self, step: int, length: Length) -> float:
        """Share of the full learning rate at ``step`` (from 0) of the ``length`` after warm-up."""
        return 1.0

    def factor(self, step: int, length: Length) -> float:
        """Share of the full learning rate at ``step`` (from 0) of the whole training."""
        warmup = round(self.warmup_epochs * length.epoch_steps)
        if step < warmup:
            return (step + 1) / warmup
        return self.curve(step - warmup, Length(length.steps - warmup, length.epoch_steps))

    def attach(
        self, optimizer: Optimizer, length: Length, metric: str, direction: str
    ) -> list[dict[str, Any]]:
        """The `lr_scheduler` settings that Lightning takes; none for a constant rate."""
        if self.constant:
            return []
        scheduler = LambdaLR(optimizer, lambda step: self.factor(step, length))
        return [{"scheduler": scheduler, "interval": "step"}]


@dataclass(frozen=True)
class Step(Schedule):
    """Multiplied by ``gamma`` every ``step_epochs`` epochs."""

    step_epochs: int = 10
    gamma: float = 0.1

    def curve(self, step: int, length: Length) -> float:
        return self.gamma ** (step // (self.step_epochs * length.epoch_steps))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiplied by ``gamma`` every epoch."""

    gamma: float = 0.95

    def curve(self, step: int, length: Length) -> float:
        return self.gamma ** (step // length.epoch_steps)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 down to ``final`` (SGDR without restarts, arXiv:1608.03983, eq. 5)."""

    final: float = 0.0

    def curve(self, step: int, length: Length) -> float:
        return _cosine(1.0, self.final, _progress(step, length))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up by half a cosine from ``initial`` to 1 over the share ``rise``, then down to ``final``.

    The learning-rate half of arXiv:1708.07120; momentum stays as it is. Its rise is a warm-up
    already, so ``warmup_epochs`` is best left at 0.
    """

    rise: float = 0.3
    initial: float = 0.04
    final: float = 1e-4

    def curve(self, step: int, length: Length) -> float:
        progress = _progress(step, length)
        if progress < self.rise:
            return _cosine(self.initial, 1.0, progress / self.rise)
        return _cosine(1.0, self.final, (progress - self.rise) / (1 - self.rise))


@dataclass(frozen=True)
class Plateau(Schedule):
    """Multiplied by ``reduce`` when the monitored metric has not improved for ``patience`` epochs.

    Its curve depends on what training finds, so `factor` tells the warm-up alone.
    """

    reduce: float = 0.1
    patience: int = 5

    def attach(
        self, optimizer: Optimizer, length: Length, metric: str, direction: str
    ) -> list[dict[str, Any]]:
        plateau = ReduceLROnPlateau(
            optimizer,
            mode="max" if direction == "maximize" else "min",
            factor=self.reduce,
            patience=self.patience,
            eps=0.0,  # torch would leave learning rates below 1e-8 as they are
        )
        settings: list[dict[str, Any]] = [
            {"scheduler": plateau, "interval": "epoch", "monitor": metric}
        ]
        warmup = round(self.warmup_epochs * length.epoch_steps)
        if warmup > 1:
            # LinearLR multiplies what it finds, so it does not undo what the plateau has reduced.
            climb = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
            settings.insert(0, {"scheduler": climb, "interval": "step"})
        return settings


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _progress(step: int, length: Length) -> float:
    if math.isinf(length.steps):
        raise UsageError("scheduler: this one needs to know the end; set trainer.max_epochs")
    return min(1.0, step / max(1, length.steps))
