"""Caviar against panda: many networks trained once, or one that is watched, for the same compute."""

import math

import numpy as np
import torch

from caviar.base.intervals import t_interval
from caviar.panda.checks.registry import examine
from caviar.panda.policies import POLICIES
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History, Vitals
from project.lessons.figure import lines
from project.lessons.lanes import Lanes, final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 20
EPOCHS = 6
"""Of each of caviar's trainings; a panda trains for as many times that as there are trainings."""
BUDGETS = (2, 6, 16)
LOST = 1e6
"""A loss that is no loss any more."""


def run(repeats: int = REPEATS) -> Lesson:
    """The best loss of N random learning rates, and of one watched from a random one, N times as long."""
    rng = np.random.default_rng(4)
    most = max(BUDGETS)
    rates = 10 ** rng.uniform(-4.5, 0.5, (repeats, most))
    caviar = final_losses(EPOCHS, 4, lr=rates.ravel()).reshape(repeats, most)
    panda = watched(rates[:, 0], EPOCHS * most)
    best = {n: (caviar[:, :n].min(axis=1), panda[EPOCHS * n - 1]) for n in BUDGETS}
    means = np.mean(list(best.values()), axis=2)  # budget, way
    series = {"caviar": means[:, 0].tolist(), "panda": means[:, 1].tolist()}
    across = f"compute, in trainings of {EPOCHS} epochs"
    figure = lines("Best validation loss", BUDGETS, series, across, "loss, nats")
    return Lesson(judge(best), figure)


def judge(best: dict[int, tuple[np.ndarray, np.ndarray]]) -> list[Claim]:
    """The claim, from caviar's and panda's best loss with each budget, shapes ``(repeats,)``."""
    effects = {
        f"{budget} trainings: panda's best loss less caviar's": t_interval(one - many)
        for budget, (many, one) in best.items()
    }
    return [
        Claim(
            "for the same compute, many networks trained once beat one that panda's policies watch",
            effects,
            f"nats, {len(next(iter(best.values()))[0])} repeats",
        )
    ]


def watched(rates: np.ndarray, epochs: int) -> np.ndarray:
    """The best loss so far after each epoch, shape ``(epochs, lanes)``, of lanes that are watched.

    caviar's health checks look at every epoch, and its policies act: back to the best state and half
    the learning rate on divergence, half of it on a plateau. What a person does beside, no policy
    does: double it while the loss falls slowly from the start.
    """
    lanes = Lanes(len(rates), 4, lr=rates)
    histories = [History(start=float(loss)) for loss in lanes.loss("train", LOST)]
    best, edited = lanes.loss(worst=LOST), np.full(len(rates), -1)
    kept, before, seen = lanes.state(), best, []
    for epoch in range(epochs):
        lanes.epochs(1)
        train, loss = lanes.loss("train", LOST), lanes.loss(worst=LOST)
        better = loss < best
        if better.any():
            mask = torch.from_numpy(better)
            for now, then in zip(lanes.state(), kept, strict=True):
                then[mask] = now[mask]
        slow, back = better & (loss > 0.9 * before) & (loss > 0.5), np.zeros(len(rates), bool)
        lr = lanes.settings["lr"]
        for lane, history in enumerate(histories):
            history.add(
                Vitals(epoch, train_loss=_or_inf(train[lane]), val_loss=_or_inf(loss[lane]))
            )
            findings = {found.check: found for found in examine(history, Remedies("panda"))}
            settings = {"optimizer.lr": float(lr[lane])}
            actions = [act(findings, settings, epoch - edited[lane]) for act in POLICIES.values()]
            action = next((one for one in reversed(actions) if one), None)
            if action or slow[lane]:
                lr[lane] = action.changes["optimizer.lr"] if action else 2 * lr[lane]
                edited[lane], back[lane] = epoch, bool(action and action.back)
                if back[lane]:
                    history.back_to(epoch)
        lanes.restore(kept, back)
        before, best = loss, np.minimum(best, loss)
        seen.append(best)
    return np.minimum(seen, np.log(10))


def _or_inf(loss: float) -> float:
    return float(loss) if loss < LOST else math.inf
