"""Trainings on lanes that leave no folder: what a config is worth over seeds, and the best of very many."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.ways import stack_of, training_of
from caviar.engines.native.loop import Native
from caviar.space.space import Space
from project.recipe import recipe

Config = Mapping[str, Any]
LANES = 64
AT_ONCE = 1024
"""Trainings that are in memory together."""
FIRST_SEED = 1000
"""Those below are a sweep's own."""
SEEDS = range(FIRST_SEED, FIRST_SEED + 30)
"""What a config is judged by; the best is chosen by others."""
ROUNDS = ((200, 4), (30, 12), (5, 30))
"""Of the best so far so many, each over so many seeds that are new."""


def scores(configs: Iterable[Config]) -> NDArray[np.float64]:
    """The score of each config at its best epoch; NaN where it failed. As a sweep's lanes have it.

    Args:
        configs: plain and resolved, as a run's ``config.yaml`` has them.
    """
    found, left = [], iter(configs)
    while some := list(itertools.islice(left, AT_ONCE)):
        kinds: dict[Hashable, list[tuple[int, Any]]] = defaultdict(list)
        for place, config in enumerate(some):
            training: Any = training_of(recipe(config))  # type: ignore[arg-type]
            kinds[training.key].append((place, training))
        told = np.full(len(some), np.nan)
        for alike in kinds.values():
            # A stack is as wide as its widest lane.
            alike.sort(key=lambda one: sum(w.numel() for w in one[1].weights.values()))
            for first in range(0, len(alike), LANES):
                places, trainings = zip(*alike[first : first + LANES], strict=True)
                told[list(places)] = _train(trainings)
        found.append(told)
    return np.concatenate(found)


def _train(trainings: Sequence[Any]) -> list[float]:
    """Their scores; NaN where one failed."""
    failed: set[int] = set()
    stack = stack_of(trainings, len(trainings), "cpu")
    if isinstance(stack, Stack):
        stack.use(Native)
    for training in trainings:
        stack.admit(training)
    while stack.active:
        for one in stack.tick():
            if one.error is not None:
                failed.add(id(one.training))
            if one.over:
                stack.release(one.lane)
    found = [None if id(one) in failed else one.scoring.value for one in trainings]
    return [np.nan if score is None else score for score in found]


def judged(config: Config) -> list[float]:
    """The scores of a config over `SEEDS`, the same for all that are compared."""
    return [float(score) for score in scores({**config, "seed": seed} for seed in SEEDS)]


def best_known(config: Config, space: Space, trials: int, sign: float) -> dict[str, Any]:
    """The values of the best of many random trials, chosen by rounds of ever fewer over ever more seeds.

    Args:
        sign: -1 where more is better, else 1.
    """
    rng = np.random.default_rng(trials)
    drawn = [space.draw(lambda h: h.from_unit(rng.random())) for _ in range(trials)]
    seed = SEEDS.stop
    one = scores(with_values(config, values, seed + n) for n, values in enumerate(drawn))
    seed += trials
    best = np.argsort(np.nan_to_num(sign * one, nan=np.inf), kind="stable")
    # The first score is what they were picked by: it does not count further.
    told: dict[int, list[float]] = defaultdict(list)
    for keep, seeds in ROUNDS:
        some = [(n, s) for n in best[:keep].tolist() for s in range(seed, seed + seeds)]
        again = scores(with_values(config, drawn[n], s) for n, s in some)
        for (n, _), score in zip(some, again, strict=True):
            told[n].append(sign * score)
        seed += seeds
        means = np.array([np.mean(told[n]) for n in best[:keep].tolist()])
        best = best[:keep][np.argsort(np.nan_to_num(means, nan=np.inf), kind="stable")]
    return drawn[int(best[0])]


def with_values(
    config: Config, values: Mapping[str, Any], seed: int | None = None
) -> dict[str, Any]:
    """A config with other values of its settings."""
    found = dict(config)
    for name, value in values.items():
        *parents, last = name.lstrip("+").split(".")
        node = found
        for parent in parents:
            node[parent] = node = dict(node[parent])
        node[last] = value
    return found if seed is None else {**found, "seed": seed}
