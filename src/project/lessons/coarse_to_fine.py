"""Coarse to fine: three stages that zoom in, against one stage of random points and against TPE."""

from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler

from caviar.base.intervals import t_interval
from caviar.space.hyperparameters import Interval
from caviar.space.scales import LOG, REVERSE_LOG
from caviar.space.space import Space
from caviar.zoom.coarse_to_fine import CoarseToFineSampler
from project.lessons.figure import lines
from project.lessons.lanes import final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 20
TRIALS, STAGES, AT_ONCE = 36, 3, 4

SPACE = Space(
    (
        Interval("lr", 1e-4, 3.0, LOG),
        Interval("momentum", 0.5, 0.999, REVERSE_LOG),
        Interval("weight_decay", 1e-6, 1e-1, LOG),
    )
)


def run(repeats: int = REPEATS) -> Lesson:
    """The best loss of 36 trials of SGD, each way, in each repeat; all begin with the same twelve."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = {name: _search(make, repeats) for name, make in WAYS.items()}
    best = {name: np.minimum.accumulate(losses, axis=1) for name, losses in found.items()}
    claims = judge({name: losses[:, -1] for name, losses in best.items()})
    series = {name: losses.mean(0)[3:].tolist() for name, losses in best.items()}
    trials = range(4, TRIALS + 1)
    figure = lines("Best validation loss so far", trials, series, "trials", "loss, nats")
    return Lesson(claims, figure)


def judge(best: dict[str, np.ndarray]) -> list[Claim]:
    """The claims, from the best loss of each way in each repeat, shapes ``(repeats,)``."""
    fine = best["coarse to fine"]
    return [
        Claim(
            f"coarse to fine beats {name} on as many trials",
            {f"{name}'s best loss less its": t_interval(best[name] - fine)},
            f"nats, {len(fine)} repeats of {TRIALS} trials",
        )
        for name in ("one stage", "TPE")
    ]


def _staged(stages: int, seed: int) -> BaseSampler:
    sampler = CoarseToFineSampler(TRIALS, stages, seed)
    sampler.bind(SPACE)
    return sampler


WAYS: dict[str, Callable[[int], BaseSampler]] = {
    "one stage": partial(_staged, 1),
    "coarse to fine": partial(_staged, STAGES),
    "TPE": lambda seed: TPESampler(
        seed=seed, constant_liar=True, n_startup_trials=TRIALS // STAGES
    ),
}
"""The ways to search, each a sampler made from a repeat's number."""


def _search(make: Callable[[int], BaseSampler], repeats: int) -> np.ndarray:
    """The losses of each repeat's trials, in the order of asking, shape ``(repeats, trials)``."""
    spread = {h.study_name: h.distribution for h in SPACE.hyperparameters}
    studies = [optuna.create_study(sampler=make(repeat)) for repeat in range(repeats)]
    for repeat, study in enumerate(studies):
        alike = optuna.create_study(sampler=_staged(1, repeat))
        for _ in range(TRIALS // STAGES):
            study.enqueue_trial(alike.ask(spread).params)
    found = []
    for part in range(TRIALS // AT_ONCE):
        with redirect_stdout(None):  # the sampler tells of its stages
            asked = [[study.ask(spread) for _ in range(AT_ONCE)] for study in studies]
        trials = [trial for some in asked for trial in some]
        values = {
            h.name: np.array([h.from_study(trial.params[h.study_name]) for trial in trials])
            for h in SPACE.hyperparameters
        }
        losses = final_losses(4, 100 + part, optimizer="sgd", **values).reshape(repeats, AT_ONCE)
        for study, some, scores in zip(studies, asked, losses, strict=True):
            for trial, score in zip(some, scores, strict=True):
                study.tell(trial, float(score))
        found.append(losses)
    return np.hstack(found)
