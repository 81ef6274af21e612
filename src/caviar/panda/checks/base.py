"""What every health check is made of.

A check looks at several epochs, or at several looks: a single one may be chance, and who is warned for
nothing reads no warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History

PATIENCE = 8
"""Epochs over which a loss is looked at."""

FITTED = 0.02
"""A training loss below this share of its start is as good as nothing: it need not fall further."""

ANNEALED = 0.3
"""Below this share of the learning rate that a schedule began with, little is meant to happen."""

DEAD = 0.5
"""From this share of a layer's units on, that are 0 for a whole batch, too many are."""


@dataclass(frozen=True)
class Finding:
    """What a check found: its name, a sentence with numbers, and what may help, for a shell."""

    check: str
    sentence: str
    remedy: str


Check = Callable[[History, Remedies], tuple[str, str] | None]
"""From the history so far to a sentence with numbers, and a remedy; None where nothing is wrong."""


def start_of(history: History) -> float:
    """The loss at the start; where the first step's is not known, the first epoch's."""
    if history.start is not None and math.isfinite(history.start):
        return history.start
    return next(iter(history.losses("train_loss")), 0.0)


def most_of(history: History, name: str, largest: bool = True) -> tuple[str, float]:
    """The layer with the largest (or smallest) value, the milder of the last two looks.

    Where there were no two looks, or none at this epoch: a value that no check minds.
    """
    pick, milder = (max, min) if largest else (min, max)
    looks = [getattr(one, name) for one in history.looks()[-2:]]
    if len(looks) < 2 or not getattr(history.epochs[-1], name):
        return "", 0.0 if largest else math.inf
    both = {k: milder(v, looks[-2].get(k, v)) for k, v in looks[-1].items()}
    layer = pick(both, key=both.__getitem__)
    return layer, both[layer]
