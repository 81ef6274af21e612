"""The appropriate scale: log for a learning rate, reverse log for a momentum, against linear."""

import numpy as np

from caviar.base.intervals import t_interval
from caviar.space.hyperparameters import Interval
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG
from project.lessons.figure import intervals
from project.lessons.lanes import final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 50
POINTS = 8

CASES = {
    "lr": ((1e-4, 1.0), LOG, {"optimizer": "adam"}),
    "momentum": ((0.5, 0.999), REVERSE_LOG, {"optimizer": "sgd", "lr": 0.005}),
}
"""Hyperparameter -> its bounds, its scale, and what else the training is given."""


def run(repeats: int = REPEATS) -> Lesson:
    """Eight random points on either scale, each scale's best loss, for each hyperparameter."""
    best: dict[str, list[np.ndarray]] = {}
    for seed, (name, ((low, high), scale, settings)) in enumerate(CASES.items()):
        units = np.random.default_rng(seed).random((repeats, POINTS))
        for used in (LINEAR, scale):
            h = Interval(name, low, high, used)
            values = np.array([h.from_study(h.from_unit(u)) for u in units.ravel()])
            losses = final_losses(4, seed, **{name: values}, **settings)
            best.setdefault(name, []).append(losses.reshape(repeats, POINTS).min(axis=1))
    claims = judge(best)
    return Lesson(claims, intervals("Gain of the appropriate scale", claims[0].effects, "nats"))


def judge(best: dict[str, list[np.ndarray]]) -> list[Claim]:
    """The claim, from each repeat's best loss on the linear and on the own scale, ``(repeats,)``."""
    effects = {
        f"{name}: linear less {CASES[name][1].name}": t_interval(linear - own)
        for name, (linear, own) in best.items()
    }
    return [
        Claim(
            "a hyperparameter searched on its own scale (log, reverse_log) gives a better best",
            effects,
            f"nats, {len(next(iter(best.values()))[0])} repeats of {POINTS} points",
        )
    ]
