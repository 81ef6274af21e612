"""The appropriate scale: log for a learning rate, reverse log for a momentum, against linear."""

import numpy as np

from caviar.space.hyperparameters import Interval
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG
from caviar.sweep.intervals import Estimate, t_interval
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
    effects: dict[str, Estimate] = {}
    for seed, (name, ((low, high), scale, settings)) in enumerate(CASES.items()):
        units = np.random.default_rng(seed).random((repeats, POINTS))
        best = []
        for used in (LINEAR, scale):
            h = Interval(name, low, high, used)
            values = np.array([h.from_study(h.from_unit(u)) for u in units.ravel()])
            losses = final_losses(4, seed, **{name: values}, **settings)
            best.append(losses.reshape(repeats, POINTS).min(axis=1))
        effects[f"{name}: linear less {scale.name}"] = t_interval(best[0] - best[1])
    claim = Claim(
        "a hyperparameter searched on its own scale (log, reverse_log) gives a better best",
        effects,
        f"nats, {repeats} repeats of {POINTS} points",
    )
    return Lesson([claim], intervals("Gain of the appropriate scale", effects, "nats"))
