"""What a training is scored by: its metric at the best epoch, at the last one, or over the last few."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from caviar.base.direction import better
from caviar.base.errors import usage_error

BEST = "best"
_LATEST = re.compile(r"last([1-9]\d{0,5})?")


SCORES = "must be best, last, or last5 for the mean of the last five epochs"


def is_score(score: object) -> bool:
    """Whether a score is of the best epoch, the last, or so many last ones."""
    return score == BEST or bool(_LATEST.fullmatch(str(score)))


def averaged(score: str) -> int | None:
    """How many of the last epochs a score is the mean of; None where it is the best one's.

    Args:
        score: ``best``, ``last``, or ``last5`` for the mean of the last five.

    Raises:
        UsageError: it is none of these.
    """
    if score == BEST:
        return None
    found = _LATEST.fullmatch(str(score))
    if found is None:
        raise usage_error("score", score, SCORES)
    return int(found[1] or 1)


def epochs_in_words(score: object) -> str:
    """``best epoch``, ``last epoch``, ``last 5 epochs``: those that a score on record is of."""
    count = averaged(str(score)) if is_score(score) else None
    return "best epoch" if count is None else "last epoch" if count == 1 else f"last {count} epochs"


class Scoring:
    """The score of a training so far, validation after validation.

    Args:
        names: the metrics that are scores; the first decides which epoch is the best.
        direction: what is better for the first.
        score: which epochs are scored: see `averaged`.

    Attributes:
        epoch: the one (from 0) that the score is of, or the last of those; None before the first.
        metrics: every metric logged there, or the mean of each.
        improved: whether the last validation is one of those that count: its weights are to be kept.
    """

    def __init__(self, names: Sequence[str], direction: str, score: str = BEST) -> None:
        self._names = tuple(names)
        self._direction = direction
        self._count = averaged(score)
        self._recent: list[dict[str, float]] = []
        self.epoch: int | None = None
        self.metrics: dict[str, float] = {}
        self.improved = False

    @property
    def value(self) -> float | None:
        """The score of the first metric; None before the first validation."""
        return self.metrics[self._names[0]] if self.epoch is not None else None

    @property
    def values(self) -> list[float]:
        """The score of each metric, all of the same epochs."""
        return [self.metrics[name] for name in self._names]

    def take(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Take in what was logged as a validation ended; the scores are among it, and not NaN."""
        if self._count is None:
            before, now = self.value, metrics[self._names[0]]
            self.improved = before is None or better(now, before, self._direction)
            if self.improved:
                self.metrics, self.epoch = dict(metrics), epoch
            return
        self._recent = [*self._recent, dict(metrics)][-self._count :]
        shared = [name for name in metrics if all(name in one for one in self._recent)]
        self.metrics = {
            name: sum(one[name] for one in self._recent) / len(self._recent) for name in shared
        }
        self.epoch, self.improved = epoch, True

    @property
    def when(self) -> str:
        """``at epoch 7``, ``at the last epoch, 9``, ``mean of the last 5 epochs, to 9``."""
        if self._count is None:
            return f"at epoch {self.epoch}"
        if self._count == 1:
            return f"at the last epoch, {self.epoch}"
        return f"mean of the last {len(self._recent)} epochs, to {self.epoch}"

    def state(self) -> dict[str, Any]:
        """What it takes to go on with it later, as plain values."""
        return {"epoch": self.epoch, "metrics": self.metrics, "recent": self._recent}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.epoch, self.metrics = state["epoch"], dict(state["metrics"])
        self._recent = [dict(one) for one in state.get("recent", ())]
