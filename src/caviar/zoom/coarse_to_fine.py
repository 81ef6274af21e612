"""Coarse to fine in one sweep: random points, then random points in a narrower space, and so on."""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.space.hyperparameters import Hyperparameter
from caviar.space.space import Space
from caviar.sweep.asking import INTERRUPTED, NEVER_RAN, RETRY_OF
from caviar.sweep.samplers import IndependentSampler, quantile
from caviar.zoom.lines import NARROWEST
from caviar.zoom.next_space import Ended, Tried, Zoom, as_tried, zoom


class CoarseToFineSampler(IndependentSampler):
    """Shares the budget out to stages; each draws from the space that the trials so far zoom in to.

    A stage begins when all trials of the one before have ended: it zooms in on what they say, and many
    lanes would be ahead of it. A trial that repeats an interrupted one counts once. No stage leaves the
    space that the sweep declared: all its trials are draws from one space, as its record and its report
    say. What may lie beyond an end is for the next sweep: ``caviar zoom`` moves and widens. Where the
    trials are too few or say too little to zoom, the stage draws from the space of the one before.

    Args:
        n_trials: the budget.
        stages: how many parts it has, the first one included.
        seed: not negative.
    """

    def __init__(self, n_trials: int | None, stages: int = 3, seed: int = 0) -> None:
        if n_trials is None:
            raise usage_error("n_trials", n_trials, "coarse to fine shares a budget: give a number")
        if stages < 1 or stages > n_trials:
            raise usage_error("sampler.stages", stages, f"must be 1 to n_trials={n_trials}")
        self.n_trials = n_trials
        self.stages = stages
        self.seed = seed
        self._stage = 0
        self._zoom: Zoom | None = None
        self._place = (-1, 0)

    def bind(self, space: Space) -> None:
        """Take in the space before the first trial."""
        self._space = space
        self._now: dict[str, Hyperparameter] = {h.study_name: h for h in space.hyperparameters}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        place = self._place_of(study, trial)
        stage = self._stage_of(place)
        if stage > self._stage:
            self._stage = stage
            echo(f"coarse to fine: stage {stage + 1} of {self.stages}: {self._look_closer(study)}")
        lines = self._zoom.lines if self._zoom else []
        fixed = {line.name: line.value for line in lines if line.now is None}
        h = self._now[param_name]
        if h.name in fixed:
            return h.to_study(fixed[h.name])
        return h.from_unit(quantile(self.seed, place, param_name))

    def waits_at(self, place: int) -> bool:
        """Whether the trial at this place in the order of asking is to wait for all before it."""
        return place > 0 and self._stage_of(place) > self._stage_of(place - 1)

    def _stage_of(self, place: int) -> int:
        return min(place * self.stages // self.n_trials, self.stages - 1)

    def _place_of(self, study: Study, trial: FrozenTrial) -> int:
        """How many trials were asked for before this one, those that were repeated counted once."""
        if self._place[0] != trial.number:
            # Those of earlier sweeps have numbers below 0.
            own = [t for t in study.get_trials(deepcopy=False) if t.number >= 0]
            earlier = own[: trial.number]
            again = {RETRY_OF, NEVER_RAN}
            self._place = (trial.number, sum(again.isdisjoint(t.user_attrs) for t in earlier))
        return self._place[1]

    def _look_closer(self, study: Study) -> str:
        """Zoom in, and say how far."""
        # Each stage may narrow as far as a sweep of its own.
        narrowest = NARROWEST**self._stage
        ended = tried(study, self._space)
        try:
            self._zoom = zoom(self._space, ended, (), self.seed, narrowest)
        except UsageError as error:
            return f"as before; {error}"
        for line in self._zoom.lines:
            if line.now is not None:
                self._now[line.now.study_name] = line.now
        fixed = sum(line.now is None for line in self._zoom.lines)
        return f"{self._zoom.volume_in_words} of the sweep's own space, {fixed} fixed"


def tried(study: Study, space: Space) -> list[Tried]:
    """The trials of a study that have ended, with the values that the runs saw.

    One that was interrupted says nothing.
    """
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    found: list[Ended] = []
    for trial in study.get_trials(deepcopy=False):
        values = {
            h.name: h.from_study(trial.params[h.study_name])
            for h in space.hyperparameters
            if h.study_name in trial.params
        }
        if values and not {INTERRUPTED, NEVER_RAN} & trial.user_attrs.keys():
            loss = math.nan if trial.value is None else sign * trial.value
            found.append((trial.state.name, loss, values))
    return as_tried(found)
