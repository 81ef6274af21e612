"""Coarse to fine: three stages that zoom in, against one stage of random points and against TPE."""

import numpy as np
import optuna

from caviar import UsageError
from caviar.space.hyperparameters import Interval
from caviar.space.scales import LOG, REVERSE_LOG
from caviar.space.space import Space
from caviar.sweep.intervals import t_interval
from caviar.sweep.zoom import Tried, zoom
from project.lessons.figure import lines
from project.lessons.lanes import final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 20
STAGES, STAGE = 3, 12

SPACE = Space(
    (
        Interval("lr", 1e-4, 3.0, LOG),
        Interval("momentum", 0.5, 0.999, REVERSE_LOG),
        Interval("weight_decay", 1e-6, 1e-1, LOG),
    )
)


def run(repeats: int = REPEATS) -> Lesson:
    """The best loss of 36 trials of SGD, each way, in each repeat; all with the same first stage."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(3)
    first = [_draw([SPACE.hyperparameters] * STAGE, rng) for _ in range(repeats)]
    rest = [_draw([SPACE.hyperparameters] * STAGE * (STAGES - 1), rng) for _ in range(repeats)]
    shared = _train(first, 0)
    ways = {"one stage": np.hstack([shared, _train(rest, 1)])}
    tried, losses = [list(values) for values in first], shared
    for stage in range(1, STAGES):
        nexts = [_closer(t, loss, rng) for t, loss in zip(tried, losses, strict=True)]
        losses = np.hstack([losses, _train(nexts, stage + 1)])
        tried = [[*t, *more] for t, more in zip(tried, nexts, strict=True)]
    ways["coarse to fine"] = losses
    ways["TPE"] = _tpe(first, shared)
    best = {name: np.minimum.accumulate(found, axis=1) for name, found in ways.items()}
    fine = best["coarse to fine"][:, -1]
    unit = f"nats, {repeats} repeats of {STAGES * STAGE} trials"
    claims = [
        Claim(
            f"coarse to fine beats {name} on as many trials",
            {f"{name}'s best loss less its": t_interval(best[name][:, -1] - fine)},
            unit,
        )
        for name in ("one stage", "TPE")
    ]
    series = {name: found.mean(0)[3:].tolist() for name, found in best.items()}
    trials = list(range(4, STAGES * STAGE + 1))
    return Lesson(
        claims, lines("Best validation loss so far", trials, series, "trials", "loss, nats")
    )


def _draw(spaces: list, rng: np.random.Generator) -> list[dict[str, float]]:
    return [{h.name: h.from_study(h.from_unit(rng.random())) for h in space} for space in spaces]


def _closer(tried: list, losses: np.ndarray, rng: np.random.Generator) -> list[dict[str, float]]:
    trials = [Tried(v, float(x)) for v, x in zip(tried, losses, strict=True)]
    try:
        found = zoom(SPACE, trials, beyond=False)
    except UsageError:  # thin evidence: as before
        return _draw([SPACE.hyperparameters] * STAGE, rng)
    now = [line.now for line in found.lines if line.now is not None]
    fixed = {line.name: line.value for line in found.lines if line.now is None}
    return [{**fixed, **values} for values in _draw([now] * STAGE, rng)]


def _tpe(first: list, shared: np.ndarray) -> np.ndarray:
    studies = [
        optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=i, constant_liar=True, n_startup_trials=STAGE)
        )
        for i in range(len(first))
    ]
    spread = {h.study_name: h.distribution for h in SPACE.hyperparameters}
    for study, values, losses in zip(studies, first, shared, strict=True):
        for point, loss in zip(values, losses, strict=True):
            held = {h.study_name: h.to_study(point[h.name]) for h in SPACE.hyperparameters}
            trial = optuna.trial.create_trial(params=held, distributions=spread, value=float(loss))
            study.add_trial(trial)
    found = shared
    for part in range(STAGE * (STAGES - 1) // 4):  # four lanes at a time
        asked = [[study.ask(spread) for _ in range(4)] for study in studies]
        values = [
            [
                {h.name: h.from_study(trial.params[h.study_name]) for h in SPACE.hyperparameters}
                for trial in four
            ]
            for four in asked
        ]
        losses = _train(values, 10 + part)
        for study, four, scores in zip(studies, asked, losses, strict=True):
            for trial, score in zip(four, scores, strict=True):
                study.tell(trial, float(score))
        found = np.hstack([found, losses])
    return found


def _train(points: list[list[dict[str, float]]], seed: int) -> np.ndarray:
    settings = {
        h.name: np.array([p[h.name] for row in points for p in row]) for h in SPACE.hyperparameters
    }
    return final_losses(4, 100 + seed, optimizer="sgd", **settings).reshape(len(points), -1)
