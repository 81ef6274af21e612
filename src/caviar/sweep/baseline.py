"""The baseline: the config as it stands, which is trial 0 of a sweep that has one.

A value of it may lie outside the space, or the config may lack one: it runs as it stands all the same. To
the study such a trial is a FAIL with its scores as an attribute, because a sampler would take it for a
draw from the space, and one that lacks a hyperparameter makes Optuna's samplers drop that for good.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from caviar.base.errors import UsageError
from caviar.space.space import Space
from caviar.sweep.compose import Composer

if TYPE_CHECKING:
    # Not to be imported while a sweep starts: its workers are to load meanwhile.
    from optuna.trial import FrozenTrial

BASELINE = "baseline"
"""The attribute of a trial in the study that holds the baseline's values, by hyperparameter."""
SCORES = "baseline_scores"
"""The attribute that holds the scores of a baseline outside the space."""


def config_values(space: Space, composer: Composer) -> dict[str, Any]:
    """What the config has for each hyperparameter that exists under its choices; one it lacks is left out.

    Raises:
        UsageError: the config cannot be run as it stands: a value that the space gives is not in it.
    """
    base = composer.base({})
    found: dict[str, Any] = {}
    for h in space.hyperparameters:
        key = h.name.lstrip("+")
        if not space.exists(h.name, found):
            continue
        if composer.is_group(h.name):
            choice = base.hydra.runtime.choices.get(key)
            if choice in (None, "???"):
                raise UsageError(f"{key}: the config has no choice of its own")
            found[h.name] = choice
            continue
        try:
            if OmegaConf.is_missing(base, key):
                raise UsageError(f"{key}: the config has no value of its own")
            value = OmegaConf.select(base, key, default=space)
        except OmegaConfBaseException:
            continue  # such as an interpolation of what is known in a run alone
        if value is not space:
            found[h.name] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
    return found


def as_it_ended(trial: FrozenTrial) -> FrozenTrial:
    """A trial of the study, where a baseline outside the space that has a score is COMPLETE."""
    from optuna.trial import TrialState

    if SCORES not in trial.user_attrs:
        return trial
    found = copy.copy(trial)
    found.state, found.values = TrialState.COMPLETE, trial.user_attrs[SCORES]
    return found


def is_baseline(trial: FrozenTrial) -> bool:
    """Whether a trial of the study is the baseline."""
    return BASELINE in trial.user_attrs
