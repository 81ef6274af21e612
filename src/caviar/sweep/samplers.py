"""caviar's own samplers: what a trial gets depends on its place in the order of asking alone.

So the same seed gives the same trials on 1 lane or 64, before or after a resume. Any sampler of
Optuna's can be named in a config instead.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from caviar.space.grid import combinations
from caviar.space.space import Space


class IndependentSampler(BaseSampler):
    """A sampler that draws each hyperparameter by itself: in Optuna's words, never relatively."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}


class PlacedSampler(IndependentSampler):
    """A sampler whose proposal depends on the trial's place in the order of asking, retries not counted.

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

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.propose(param_name)


def quantile(seed: int, place: int, name: str) -> float:
    """A uniform draw in [0, 1) that depends on the seed, the place and the name alone."""
    # crc32, because hash() of a string differs from process to process.
    return np.random.default_rng([seed, place, zlib.crc32(name.encode())]).random()


class RandomSampler(PlacedSampler):
    """Independent uniform draws, each on its hyperparameter's scale.

    A draw depends on the seed, the place and the name, and on nothing else: a hyperparameter added
    to a space leaves the draws of the others as they were.

    Args:
        seed: not negative.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def propose(self, name: str) -> Any:
        return self._by_name[name].from_unit(quantile(self.seed, self.place, name))


class SobolSampler(PlacedSampler):
    """A scrambled Sobol sequence: evener than random, whatever the hyperparameters' kinds.

    Every hyperparameter is a dimension, drawn at its quantile, so choices and integers are spread
    as evenly as intervals (Sobol 1967; scrambling: Owen 1998, by `scipy.stats.qmc`).

    Args:
        seed: of the scrambling.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._points = np.empty((0, 0))

    def bind(self, space: Space) -> None:
        super().bind(space)
        self._dimension = {name: index for index, name in enumerate(self._by_name)}

    def propose(self, name: str) -> Any:
        place = self.place % 2**20
        if place >= len(self._points):
            from scipy.stats.qmc import Sobol  # type: ignore[import-untyped]  # it has no stubs

            # Whole powers of two: the sequence is balanced there, and a longer one begins alike.
            power = max(place.bit_length(), 8)
            sequence = cast("Any", Sobol)(len(self._dimension), scramble=True, rng=self.seed)
            self._points = sequence.random_base2(power)
        return self._by_name[name].from_unit(float(self._points[place, self._dimension[name]]))


class GridSampler(PlacedSampler):
    """Every combination once, in an order shuffled by the seed, so that a part of it is fair too.

    Args:
        points: how many points an interval has, for all or by name; 5 where nothing is said. Choices
            and ranges hold all their values unless named here.
        seed: of the order.
    """

    def __init__(self, points: Any = None, seed: int = 0) -> None:
        self._points = points
        self.seed = seed

    def bind(self, space: Space) -> int:
        super().bind(space)
        self._combinations = combinations(space, self._points)
        np.random.default_rng(self.seed).shuffle(self._combinations)  # type: ignore[arg-type]
        return len(self._combinations)

    def propose(self, name: str) -> Any:
        return self._combinations[self.place % len(self._combinations)][name]
