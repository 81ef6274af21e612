"""Rules for settings: what a value must be, and those of what every training by Lightning has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from caviar.base.errors import usage_error
from caviar.base.scoring import SCORES, is_score


@dataclass(frozen=True)
class Rule:
    """What a setting must be.

    Attributes:
        holds: whether a value is right; ``problem`` says what it must be.
        number: it is a finite number, and ``holds`` is asked for such alone.
        whole: it has no fraction.
        null: nothing is a value too.
        choices: what an error offers.
    """

    holds: Callable[[Any], bool]
    problem: str
    number: bool = True
    whole: bool = False
    null: bool = False
    choices: Sequence[Any] | None = None

    def check(self, key: str, value: Any) -> None:
        """Raise UsageError unless ``key`` may have ``value``."""
        if value is None and self.null:
            return
        if self.number:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise usage_error(key, "null" if value is None else value, "must be a number")
            if self.whole and value % 1 != 0:
                raise usage_error(key, value, "must be a whole number")
            if not math.isfinite(value):
                raise usage_error(key, value, self.problem)
        if not self.holds(value):
            raise usage_error(key, value, self.problem, self.choices)

    @property
    def or_null(self) -> Rule:
        """The same, or nothing."""
        return replace(self, null=True)


def at_least(least: int, problem: str = "") -> Rule:
    """A whole number from ``least`` on."""
    return Rule(lambda value: value >= least, problem or f"must be at least {least}", whole=True)


def one_of(choices: Sequence[Any]) -> Rule:
    """One of some values, or nothing."""
    return Rule(lambda value: value in choices, "no such choice", False, null=True, choices=choices)


POSITIVE = Rule(lambda value: value > 0, "must be above 0")
NOT_NEGATIVE = Rule(lambda value: value >= 0, "must be at least 0")
SHARE = Rule(lambda value: 0 <= value < 1, "must be at least 0 and below 1")
COUNT = replace(POSITIVE, whole=True)
SEED = Rule(lambda value: 0 <= value < 2**32, "must be at least 0 and below 2**32", whole=True)
FLAG = Rule(lambda value: isinstance(value, bool), "must be true or false", False, null=True)

TRAINING: dict[str, Rule] = {
    "seed": SEED,
    "score": Rule(is_score, SCORES, number=False),
    "test": FLAG,
    "compile": FLAG,
    "model.dropout": SHARE,
    "model.loss.label_smoothing": SHARE,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.momentum": SHARE,
    "optimizer.beta1": SHARE,
    "optimizer.beta2": SHARE,
    "optimizer.alpha": SHARE,
    "trainer.max_epochs": COUNT,
    "trainer.max_steps": Rule(
        lambda value: value > 0 or value == -1,
        "must be above 0, or -1 for no end",
        whole=True,
        null=True,
    ),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.check_val_every_n_epoch": COUNT.or_null,
    "trainer.limit_train_batches": POSITIVE.or_null,
    "trainer.gradient_clip_val": Rule(lambda value: True, "must be a finite number", null=True),
    "trainer.log_every_n_steps": at_least(0).or_null,
    "trainer.deterministic": one_of((True, False, "warn")),
    "callbacks.checkpoint.every_seconds": NOT_NEGATIVE,
    "callbacks.early_stopping.patience": at_least(0),
    "callbacks.early_stopping.min_delta": NOT_NEGATIVE,
    "callbacks.nan_guard.every_steps": COUNT,
}
"""A setting's dotted key -> its rule."""


def check_settings(given: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Raise UsageError for the first setting that breaks its rule; one that is not given breaks none."""
    for key, rule in rules.items():
        if key in given:
            rule.check(key, given[key])
