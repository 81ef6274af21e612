"""``hydra.sweeper.history``: the trials of earlier sweeps that fit the space, handed to the sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from caviar.base.configs import value_at
from caviar.base.errors import usage_error
from caviar.base.plain import echo
from caviar.reading.cells import flat
from caviar.reading.find import find_sweep
from caviar.reading.run import Run
from caviar.reading.sweep import Sweep
from caviar.runs.folder import repeated, was_stopped
from caviar.runs.history import Earlier
from caviar.runs.ours import check_ours
from caviar.runs.places import SWEEP_FILE
from caviar.space.space import Space
from caviar.sweep.compose import Composer
from caviar.sweep.settings import Settings

if TYPE_CHECKING:
    # Not to be imported while a sweep starts: its workers are to load meanwhile.
    from optuna.trial import FrozenTrial

KEY = "hydra.sweeper.history"
EVER_NEW = ("NSGAIISampler", "NSGAIIISampler")
"""Samplers that learn of their own trials alone."""
_OWN = ("name", "dir", "outputs", "seed", "tags", "allow", "logger", "panda", "test", "hydra")
"""Keys of a config that say nothing of what a score is of."""
_MISSING = object()


def earlier_trials(settings: Settings, space: Space, composer: Composer) -> list[Earlier]:
    """The trials of the sweeps that ``history`` names which fit the space; how many is said.

    Raises:
        UsageError: no such sweep, or none of this user's, or one that cannot be read, or that was scored
            by something else.
    """
    found: list[Earlier] = []
    for name in settings.earlier:
        folder = find_sweep(name)
        check_ours(folder, SWEEP_FILE)
        sweep = Sweep.whole(folder)
        if sweep.directions != settings.directions or sweep.labels != settings.labels:
            mine = _scored(settings.labels, settings.directions)
            its = _scored(sweep.labels, sweep.directions)
            raise usage_error(KEY, name, f"it is scored by {its}, and this sweep by {mine}")
        other = _difference(sweep, space, composer)
        if other:
            echo(f"history: none of {folder.name}, which was trained with {other}")
            continue
        again = repeated(result.facts for result in sweep.results)
        ended = [run for run in map(sweep.run, sweep.numbers) if _tells(run, again)]
        fitting = [one for run in ended if (one := _fitted(sweep, run, space, composer))]
        left = len(ended) - len(fitting)
        unfit = f"; {left} do not fit this space, and are left out" if left else ""
        echo(f"history: {len(fitting)} trials of {folder.name}{unfit}")
        found += fitting
    return found


def _scored(labels: Sequence[str], directions: Sequence[str]) -> str:
    return ", ".join(f"{d} {label}" for label, d in zip(labels, directions, strict=False))


def _difference(sweep: Sweep, space: Space, composer: Composer) -> str:
    """A key that the earlier sweep's config had otherwise, and to what; empty where there is none.

    What either of them searches, or a searched group brings, is no difference.
    """
    runs = [sweep.run(number) for number in sweep.numbers]
    config: dict[str, Any] = next((run.config for run in runs if run.config), dict[str, Any]())
    names = [h.name.lstrip("+") for h in (*space.hyperparameters, *sweep.space.hyperparameters)]
    base = composer.base({})
    for key, value in flat(config):
        if key.split(".")[0] in _OWN or any(f"{key}.".startswith(f"{name}.") for name in names):
            continue
        try:
            now = OmegaConf.select(base, key, default=_MISSING)
        except OmegaConfBaseException:
            continue  # such as an interpolation of what is known in a run alone
        now = OmegaConf.to_container(now, resolve=True) if OmegaConf.is_config(now) else now
        if now != value:
            return f"{key}={value}" + ("" if now is _MISSING else f", not {now}")
    return ""


def _tells(run: Run, again: set[int]) -> bool:
    """Whether a trial has ended, and by its values."""
    result = run.result
    ended = result.state in ("COMPLETE", "PRUNED", "FAIL") and result.number not in again
    return ended and not (was_stopped(result.error) or str(result.error).startswith("WorkerLost"))


def _fitted(sweep: Sweep, run: Run, space: Space, composer: Composer) -> Earlier | None:
    """A trial as one of the space; None where it is none of it, or differs from the config elsewhere."""
    result, config = run.result, run.config
    params: dict[str, Any] = {}
    for h in space.hyperparameters:
        key = h.name.lstrip("+")
        if space.exists(h.name, params):
            params[h.name] = result.params.get(key, value_at(config, key))
    if not space.holds(params):
        return None
    searched = {h.name.lstrip("+") for h in space.hyperparameters}
    base = composer.base({})
    for key, value in result.params.items():
        if key in searched or composer.is_group(key):
            continue
        now = OmegaConf.select(base, key, default=_MISSING)
        if now is not _MISSING and now != value:
            return None
    given = result.value if isinstance(result.value, list) else [result.value]
    values = [float(v) for v in given if isinstance(v, int | float)]
    values = values if all(map(math.isfinite, values)) else []
    if result.state == "COMPLETE" and len(values) != len(sweep.directions):
        return None
    return Earlier(sweep.folder.name, int(result.number or 0), result.state, values, params)


def as_trials(earlier: Sequence[Earlier], space: Space) -> list[FrozenTrial]:
    """Earlier trials as a sampler takes them: before all others, with numbers below 0."""
    from optuna.trial import TrialState, create_trial

    known = {h.name: h for h in space.hyperparameters}
    usable = [trial for trial in earlier if trial.state != "FAIL" and trial.values]
    found: list[FrozenTrial] = []
    for place, trial in enumerate(usable):
        scored = {0: trial.values[0]} if trial.state == "PRUNED" else {}
        frozen = create_trial(
            state=TrialState[trial.state],
            values=trial.values,
            params={known[n].study_name: known[n].to_study(v) for n, v in trial.params.items()},
            distributions={known[n].study_name: known[n].distribution for n in trial.params},
            intermediate_values=scored,
        )
        frozen.number = place - len(usable)
        found.append(frozen)
    return found
