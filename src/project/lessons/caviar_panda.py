"""Caviar against panda: many networks trained once, or one that is watched, for the same compute."""

import numpy as np
import torch

from caviar.sweep.intervals import t_interval
from project.lessons.figure import lines
from project.lessons.lanes import Lanes, final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 20
EPOCHS = 6
"""Of each of caviar's trainings; a panda trains for as many times that as there are trainings."""
BUDGETS = (2, 6, 16)


def run(repeats: int = REPEATS) -> Lesson:
    """The best loss of N random learning rates, and of one watched from a random one, N times as long."""
    rng = np.random.default_rng(4)
    most = max(BUDGETS)
    rates = 10 ** rng.uniform(-4.5, 0.5, (repeats, most))
    caviar = final_losses(EPOCHS, 4, lr=rates.ravel()).reshape(repeats, most)
    panda = watched(rates[:, 0], EPOCHS * most)
    best = {
        budget: (caviar[:, :budget].min(axis=1), panda[EPOCHS * budget - 1]) for budget in BUDGETS
    }
    series = {
        name: [float(pair[way].mean()) for pair in best.values()]
        for way, name in enumerate(("caviar", "panda"))
    }
    figure = lines(
        "Best validation loss",
        BUDGETS,
        series,
        f"compute, in trainings of {EPOCHS} epochs",
        "loss, nats",
    )
    return Lesson(judge(best), figure)


def judge(best: dict[int, tuple[np.ndarray, np.ndarray]]) -> list[Claim]:
    """The claim, from caviar's and panda's best loss with each budget, shapes ``(repeats,)``."""
    effects = {
        f"{budget} trainings: panda's best loss less caviar's": t_interval(one - many)
        for budget, (many, one) in best.items()
    }
    return [
        Claim(
            "for the same compute, many networks trained once beat one that is watched",
            effects,
            f"nats, {len(next(iter(best.values()))[0])} repeats",
        )
    ]


def watched(rates: np.ndarray, epochs: int) -> np.ndarray:
    """The best loss so far after each epoch, shape ``(epochs, lanes)``, of lanes that are watched.

    What a person does each day: back to the best and a third of the learning rate when it diverges,
    half of it on a plateau of three epochs, double it while the loss falls slowly from the start.
    """
    lanes = Lanes(len(rates), 4, lr=rates)
    lr = lanes.settings["lr"]
    best, since, seen = lanes.loss(worst=100.0), np.zeros(len(rates)), []
    kept, before = lanes.state(), best
    for _ in range(epochs):
        lanes.epochs(1)
        loss = lanes.loss(worst=100.0)
        better, worse = loss < best, loss > 1.5 * best
        if better.any():
            now = lanes.state()
            kept = [torch.where(_mask(better, a), a, b) for a, b in zip(now, kept, strict=True)]
        since = np.where(better, 0, since + 1)
        slow = better & (loss > 0.9 * before) & (loss > 0.5)
        lanes.restore(kept, worse)
        plateau = since >= 3
        for lanes_, factor in ((worse, 1 / 3), (plateau & ~worse, 0.5), (slow, 2.0)):
            lr[torch.from_numpy(lanes_)] *= factor
        since[plateau] = 0
        before, best = loss, np.minimum(best, loss)
        seen.append(best)
    return np.minimum(seen, np.log(10))


def _mask(lanes: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(lanes).view(-1, *[1] * (like.ndim - 1))
