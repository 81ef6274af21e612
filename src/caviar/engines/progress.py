"""What a training on a lane has come to so far: its rows, its score, whether it is to stop early."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from torch import Tensor

from caviar.base.direction import sign_of
from caviar.base.errors import usage_error
from caviar.base.scoring import Scoring
from caviar.engines.experiment import Scored

_version = cache(version)


@dataclass(frozen=True)
class Ended:
    """What an epoch was to one lane.

    Attributes:
        over: the training has had its last epoch.
        error: why it failed, where it did.
    """

    training: Progress
    lane: int
    over: bool
    error: BaseException | None = None


class Progress:
    """Keeps account of a training, epoch after epoch.

    Args:
        scored: how it is scored.
        double: its metrics are in double precision, else in single.

    Attributes:
        key: its kind: trainings of one kind may share a stack.
        epoch: how many epochs it has behind it.
        rows: of metrics.csv so far.
        for_loggers: what it has logged, and the step, for when it ends; empty where there are no loggers.
        metrics: the last value of each that was logged.
        scoring: what it is scored so far.
    """

    key: Hashable

    def __init__(self, scored: Scored, double: bool) -> None:
        self._scored = scored
        self._number = np.float64 if double else np.float32
        self.epoch = 0
        self.rows: list[dict[str, Any]] = []
        self.for_loggers: list[tuple[dict[str, float], int]] = []
        self.metrics: dict[str, float] = {}
        self.scoring = Scoring(scored.objectives, scored.direction, scored.score)
        self._waited = 0
        self._best_waited_for: Any = None

    def note(self, metrics: Mapping[str, float], step: int) -> None:
        """Note what loggers are to be told."""
        if self._scored.loggers is not None:
            self.for_loggers.append((dict(metrics), step))

    def guard(self, step: int) -> None:
        """Raise FloatingPointError where a loss is not finite, and somebody wants to know."""
        if not self._scored.nan_guard:
            return
        for name, loss in self.metrics.items():
            if name.endswith("loss") and not math.isfinite(loss):
                raise FloatingPointError(
                    f"{name} is {loss} at epoch {self.epoch}, step {step}: "
                    "a lower optimizer.lr or trainer.gradient_clip_val=1 may help"
                )

    def take_score(self) -> None:
        """Take in the score of the epoch under way.

        Raises:
            FloatingPointError: it is NaN.
            UsageError: it was not logged.
        """
        self.scoring.improved = False
        for name in self._scored.objectives:
            if name not in self.metrics:
                raise usage_error("metric", name, "not logged", sorted(self.metrics))
            if math.isnan(self.metrics[name]):
                raise FloatingPointError(f"{name} is nan at epoch {self.epoch}")
        self.scoring.take(self.metrics, self.epoch)

    def stops_early(self) -> bool:
        """Whether it has not become better for long enough; asked once a validation."""
        stopping = self._scored.early_stopping
        if stopping is None:
            return False
        if stopping.metric not in self.metrics:
            raise usage_error(
                "callbacks.early_stopping.metric",
                stopping.metric,
                "not logged",
                sorted(self.metrics),
            )
        # In the metric's own precision, as Lightning compares.
        value = self._number(self.metrics[stopping.metric])
        delta = self._number(stopping.min_delta)
        if not np.isfinite(value):
            return True  # as Lightning has it: it gets no better
        best, sign = self._best_waited_for, -sign_of(stopping.direction)
        if best is None or sign * (value - sign * delta) > sign * best:
            self._best_waited_for, self._waited = value, 0
            return False
        self._waited += 1
        return self._waited >= stopping.patience

    def state(self) -> dict[str, Any]:
        """What it takes to go on with it later, as plain values."""
        best = self._best_waited_for
        return {
            "epoch": self.epoch,
            "rows": list(self.rows),
            "told": list(self.for_loggers),
            "scoring": self.scoring.state(),
            "metrics": self.metrics,
            "waited": self._waited,
            "best_waited_for": None if best is None else float(best),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._waited, self._best_waited_for = state["waited"], state["best_waited_for"]
        self.for_loggers = [(dict(metrics), step) for metrics, step in state.get("told", ())]
        for name in ("epoch", "rows", "metrics"):
            setattr(self, name, state[name])
        self.scoring.load_state(state["scoring"])


def lightning_checkpoint(
    weights: Mapping[str, Tensor],
    prefix: str,
    hyper_parameters: Mapping[str, Any],
    epoch: int,
    step: int,
) -> dict[str, Any]:
    """What Lightning's ``load_from_checkpoint`` reads, without what only a Trainer would."""
    return {
        "epoch": epoch,
        "global_step": step,
        "pytorch-lightning_version": _version("lightning"),
        "state_dict": {f"{prefix}{name}": tensor for name, tensor in weights.items()},
        "loops": {},
        "hparams_name": "kwargs",
        "hyper_parameters": dict(hyper_parameters),
    }
