"""How a trial is asked of Optuna: one that is new, the baseline, or one that repeats another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from caviar.base.private import forget_trials
from caviar.space.space import Space
from caviar.sweep.baseline import BASELINE, is_baseline
from caviar.sweep.samplers import PlacedSampler

RETRY_OF = "retry_of"
INTERRUPTED = "interrupted"
NEVER_RAN = "never_ran"
KILLED = "killed"
"""How often the sweep's process was killed while a trial, or one that it repeats, was under way."""

INTERRUPTIONS = 10
"""So often a trial goes on after it was told to stop, and so often after its sweep's process was killed:
neither is its fault, but one that brings its worker or its machine down would go on for ever."""

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Asked:
    """A trial to run: its number, and the values as the run sees them.

    ``retry_of`` are the numbers of the trials that it repeats, the first first; of the ``baseline`` nothing
    is changed: its values are the config's own.
    """

    number: int
    values: dict[str, Any]
    retry_of: tuple[int, ...] = ()
    baseline: bool = False


@dataclass
class Asking:
    """Makes the trials of a study.

    Attributes:
        study: Optuna's, with its ``storage`` and its ``study_id`` there.
        baseline: the values of the config as it stands, where that is trial 0.
        ids: what the storage knows a trial under way by, by number.
        baselines: by number, whether a baseline lies inside the space.
    """

    study: optuna.Study
    storage: BaseStorage
    study_id: int
    space: Space
    sampler: BaseSampler
    baseline: dict[str, Any] | None
    ids: dict[int, int] = field(default_factory=dict[int, int])
    baselines: dict[int, bool] = field(default_factory=dict[int, bool])

    def new(self, point: Mapping[str, Any]) -> Asked:
        """A trial that the sampler proposes, but for what ``point`` says, as the run sees it."""
        storage, study_id = self.storage, self.study_id
        if isinstance(self.sampler, PlacedSampler):
            sampler = self.sampler
            held: dict[str, Any] = {}
            distributions: dict[str, BaseDistribution] = {}

            def propose(h: Any) -> Any:
                distributions[h.study_name] = h.distribution
                held[h.study_name] = (
                    h.to_study(point[h.name]) if h.name in point else sampler.propose(h.study_name)
                )
                return held[h.study_name]

            values = self.space.draw(propose)
            # One entry for the whole trial, not one a value.
            template = create_trial(
                state=TrialState.RUNNING, params=held, distributions=distributions
            )
            return self._asked(storage.create_new_trial(study_id, template), values)
        forget_trials(self.study)
        trial_id = storage.create_new_trial(study_id)
        if point:
            known = {h.name: h for h in self.space.hyperparameters}
            fixed = {known[k].study_name: known[k].to_study(v) for k, v in point.items()}
            storage.set_trial_system_attr(trial_id, "fixed_params", fixed)
        trial = optuna.Trial(self.study, trial_id)
        values = self.space.draw(lambda h: _suggest(trial, h.study_name, h.distribution))
        return self._asked(trial_id, values)

    def as_it_stands(self, attributes: Mapping[str, Any] | None = None) -> Asked:
        """The config as it stands; to the study it is a draw from the space only where it could be one."""
        values = self.baseline or {}
        known = {h.name: h for h in self.space.hyperparameters}
        inside = bool(values) and self.space.holds(values)
        drawn = {name: known[name] for name in values} if inside else {}
        shown = {name: v if isinstance(v, _PLAIN) else str(v) for name, v in values.items()}
        template = create_trial(
            state=TrialState.RUNNING,
            params={h.study_name: h.to_study(values[name]) for name, h in drawn.items()},
            distributions={h.study_name: h.distribution for h in drawn.values()},
            user_attrs={**(attributes or {}), BASELINE: shown},
        )
        before = tuple((attributes or {}).get(RETRY_OF, ()))
        asked = self._asked(self.storage.create_new_trial(self.study_id, template), values, before)
        self.baselines[asked.number] = inside
        return replace(asked, baseline=True)

    def again(self, trial: FrozenTrial) -> Asked:
        """A trial with the values of one that was cut short."""
        before = (*trial.user_attrs.get(RETRY_OF, []), trial.number)
        attributes = {RETRY_OF: list(before), KILLED: trial.user_attrs.get(KILLED, 0)}
        if is_baseline(trial):
            return self.as_it_stands(attributes)
        template = create_trial(
            state=TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
        )
        values = self.space.draw(lambda h: trial.params[h.study_name])
        trial_id = self.storage.create_new_trial(self.study_id, template)
        return self._asked(trial_id, values, before)

    def _asked(
        self, trial_id: int, values: dict[str, Any], retry_of: tuple[int, ...] = ()
    ) -> Asked:
        number = self.storage.get_trial_number_from_id(trial_id)
        self.ids[number] = trial_id
        return Asked(number, values, retry_of)

    def is_whole(self, trial: FrozenTrial) -> bool:
        """Whether all values of a trial were written: it runs only after that."""
        if is_baseline(trial):
            return True
        try:
            self.space.draw(lambda h: trial.params[h.study_name])
        except KeyError:
            return False
        return True


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """What the sampler proposes, as the study holds it."""
    if isinstance(distribution, FloatDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_float(name, low, high, step=step, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_int(name, low, high, step=step, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)
