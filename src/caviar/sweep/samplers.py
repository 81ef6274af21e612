"""caviar's own samplers: what a trial gets depends on its place in the order of asking alone.

So the same seed gives the same trials on 1 lane or 64, before or after a resume. Any sampler of
Optuna's can be named in a config instead.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from caviar.errors import usage_error
from caviar.space.space import Space


class PlacedSampler(BaseSampler):
    """A sampler that proposes by place: the how-manieth trial this is, counting no retries.

    Attributes:
        place: the place of the trial that is being asked for, from 0; the sweep sets it.
    """

    place: int = 0

    def bind(self, space: Space) -> int | None:
        """Take in the space before the first trial; return how many trials there are, if finite."""
        self._by_name = {h.study_name: h for h in space.hyperparameters}
        return None

    @abstractmethod
    def propose(self, name: str) -> Any:
        """The study's value for the hyperparameter that the study calls ``name``, at `place`."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.propose(param_name)


class RandomSampler(PlacedSampler):
    """Independent uniform draws, each on its hyperparameter's scale.

    A draw depends on the seed, the place and the name, and on nothing else: a hyperparameter added
    to a space leaves the draws of the others as they were.

    Args:
        seed: not negative.
    """

    def __init__(self, seed: int) -> None:
        self.seed = _checked_seed(seed)

    def propose(self, name: str) -> Any:
        # crc32, because hash() of a string differs from process to process.
        bits = np.random.default_rng([self.seed, self.place, zlib.crc32(name.encode())])
        return self._by_name[name].from_unit(bits.random())


class GridSampler(PlacedSampler):
    """Every combination once, in an order shuffled by the seed, so that a part of it is fair too.

    Args:
        points: how many points an interval has, for all or by name; 5 where nothing is said. Choices
            and ranges hold all their values unless named here.
        seed: of the order.
    """

    def __init__(self, points: Any = None, seed: int = 0) -> None:
        self._points = points
        self.seed = _checked_seed(seed)

    def bind(self, space: Space) -> int:
        super().bind(space)
        by_name = dict(self._points) if hasattr(self._points, "items") else {}
        for name in by_name:
            if name not in {h.name for h in space.hyperparameters}:
                names = [h.name for h in space.hyperparameters]
                raise usage_error("sampler.points", name, "not in the space", names)
        for name, count in [*by_name.items(), ("", 5 if by_name else self._points or 5)]:
            if not isinstance(count, int) or count < 1:
                raise usage_error(f"sampler.points.{name}".rstrip("."), count, "must be at least 1")
        everywhere = None if by_name else self._points
        axes = {}
        for h in space.hyperparameters:
            discrete = h.spread(2**31) if not hasattr(h, "scale") else None
            count = by_name.get(h.name, len(discrete) if discrete else everywhere or 5)
            axes[h.name] = h.spread(count)
        self._combinations = _combinations(space, axes)
        np.random.default_rng(self.seed).shuffle(self._combinations)  # type: ignore[arg-type]
        return len(self._combinations)

    def propose(self, name: str) -> Any:
        return self._combinations[self.place % len(self._combinations)][name]


def _checked_seed(seed: int) -> int:
    if not isinstance(seed, int) or seed < 0:
        raise usage_error("sampler.seed", seed, "must be a whole number, 0 or more")
    return seed


def _combinations(space: Space, axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """All points of the grid, by study name; a hyperparameter that does not exist adds no points."""
    points: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {})]
    for h in space.hyperparameters:
        grown = []
        for seen, held in points:
            if not space.exists(h.name, seen):
                grown.append((seen, held))
                continue
            for value in axes[h.name]:
                grown.append(
                    ({**seen, h.name: h.from_study(value)}, {**held, h.study_name: value})
                )
        points = grown
    return [held for _, held in points]
