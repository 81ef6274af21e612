"""Random beats a grid of as many points when few hyperparameters matter (Bergstra & Bengio 2012)."""

import numpy as np

from caviar.base.intervals import t_interval
from caviar.space.hyperparameters import Interval
from caviar.space.scales import LOG
from project.lessons.figure import lines
from project.lessons.lanes import final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 50
SIDE = 5


def run(repeats: int = REPEATS) -> Lesson:
    """25 points of a learning rate, which matters, and Adam's ε, which does not: best loss of each.

    Each repeat places the learning rate's four decades anew, so that no grid is lucky for ever.
    """
    rng = np.random.default_rng(1)
    axis = (np.arange(SIDE) + 0.5) / SIDE  # the middles of the cells
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    lr, eps = [], []
    for _ in range(repeats):
        low = 10 ** rng.uniform(-5.5, -3.5)
        points = np.concatenate([grid, rng.random(grid.shape)])
        lr += map(Interval("lr", low, low * 1e4, LOG).from_unit, points[:, 0])
        eps += map(Interval("eps", 1e-10, 1e-6, LOG).from_unit, points[:, 1])
    losses = final_losses(4, 1, lr=np.array(lr), eps=np.array(eps))
    found = losses.reshape(repeats, 2, SIDE**2)  # repeat, grid or random, point
    best = found.min(axis=2)
    tries = np.arange(1, SIDE**2 + 1)
    order = np.array([rng.permutation(SIDE**2) for _ in range(repeats)])
    grid = np.take_along_axis(found[:, 0], order, 1)  # in an order by chance, as fair as the other
    so_far = {"grid": grid, "random": found[:, 1]}
    series = {k: np.minimum.accumulate(v, axis=1).mean(0).tolist() for k, v in so_far.items()}
    figure = lines(
        "Best validation loss so far", tries.tolist(), series, "points tried", "loss, nats"
    )
    return Lesson(judge(best[:, 0], best[:, 1]), figure)


def judge(grid: np.ndarray, random: np.ndarray) -> list[Claim]:
    """The claim, from each repeat's best loss, shapes ``(repeats,)``."""
    return [
        Claim(
            "random search beats a grid of as many points when few hyperparameters matter",
            {"grid's best loss less random's": t_interval(grid - random)},
            f"nats, {len(grid)} repeats",
        )
    ]
