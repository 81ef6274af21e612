"""The parts of a sweep that can be wrong, made from its settings before anything starts."""

from __future__ import annotations

import inspect
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from hydra.utils import get_method, get_object
from omegaconf import DictConfig, OmegaConf

from caviar.base.configs import keys_of
from caviar.base.errors import UsageError, usage_error
from caviar.base.plain import echo
from caviar.base.security import check_target, instantiate
from caviar.executors import forkserver
from caviar.executors.base import Executor
from caviar.executors.local import LocalExecutor
from caviar.runs.history import Earlier, read_history
from caviar.runs.sweep_file import read_sweep_file
from caviar.space.grammar import read
from caviar.space.grid import combinations
from caviar.space.space import Space
from caviar.sweep.baseline import config_values
from caviar.sweep.compose import Composer
from caviar.sweep.resume import check_same_space, recorded_settings
from caviar.sweep.settings import Settings

ONE_OBJECTIVE = (".CoarseToFineSampler", ".CmaEsSampler")
"""Samplers that fail in the middle of a sweep with several objectives."""
ENDS_ITSELF = ("optuna.samplers.BruteForceSampler", "optuna.samplers.GridSampler")
"""Samplers that call ``Study.stop``, which Optuna has for its own loop alone."""


@dataclass(frozen=True)
class Prepared:
    """A sweep that can be run, as far as that is seen before anything has started.

    Attributes:
        settings: its sampler's seed is drawn, where it was left open: ``sweep.yaml`` records it.
        arguments: the task's overrides from the command line.
        space, composer: what is searched, and what makes configs of it.
        baseline: the values of the config as it stands, where that is trial 0.
        earlier: the trials of other sweeps that it begins with.
        recorded: what ``sweep.yaml`` holds of a sweep that is gone on with.
    """

    settings: Settings
    arguments: list[str]
    space: Space
    composer: Composer
    baseline: dict[str, Any] | None
    earlier: list[Earlier]
    recorded: dict[str, Any] | None


def prepare(
    settings: Settings,
    arguments: list[str],
    master: DictConfig,
    context: HydraContext,
    resumed: Path | None,
) -> Prepared:
    """Check all that can be wrong with a sweep.

    Args:
        settings, arguments, master, context: see `caviar.app.sweep.run_sweep`.
        resumed: the folder of a sweep that is gone on with.

    Raises:
        UsageError: something cannot work.
    """
    recorded = read_sweep_file(resumed, whole=True) if resumed else None
    if recorded:
        settings = recorded_settings(settings, recorded)
    if settings.sampler.get("seed", 0) is None:
        settings = replace(settings, sampler={**settings.sampler, "seed": secrets.randbelow(2**31)})
    space, composer = read_space(settings, arguments, master, context)
    check_sampler(settings, space)
    baseline = None
    if settings.baseline:
        try:
            baseline = config_values(space, composer)
        except UsageError as error:
            echo(f"no baseline, as the config cannot be run as it stands: {error}")
    check_target(settings.pruner.get("_target_", "optuna.pruners.NopPruner"), import_it=False)
    for index, point in enumerate(settings.enqueue):
        space.check(point, f"enqueue.{index}")
    earlier: list[Earlier] = []
    if resumed and recorded:
        check_same_space(space, recorded, resumed)
        earlier = read_history(resumed)
    elif settings.earlier:
        from caviar.sweep.history import earlier_trials

        earlier = earlier_trials(settings, space, composer)
    return Prepared(settings, arguments, space, composer, baseline, earlier, recorded)


def read_space(
    settings: Settings, arguments: list[str], master: DictConfig, context: HydraContext
) -> tuple[Space, Composer]:
    """Read the space and hold it, and every config it can lead to, against what the app has.

    Raises:
        UsageError: see `caviar.space` and `Composer.check`; or there is nothing to search.
    """
    reading = read(settings.params, arguments, context.config_loader)
    composer = Composer(context.config_loader, master, reading.fixed)
    composer.check_options(reading.hyperparameters)

    def value_of(parent: str) -> Any:
        if composer.is_group(parent):
            return composer.base({}).hydra.runtime.choices[parent]
        marker = object()
        value = OmegaConf.select(composer.base({}), parent, default=marker)
        if value is marker:
            raise usage_error("when", parent, "the config has no such key", keys_of(master))
        return value

    space = Space.build(reading.hyperparameters, settings.when, value_of, reading.typed)
    if not space.hyperparameters:
        raise UsageError(
            "hydra.sweeper.params={}: the space is empty; name a hyperparameter, "
            "as in 'optimizer.lr=tag(log, interval(1e-4, 1e-1))'"
        )
    for name in (settings.check, settings.build):
        if name:
            check_target(name, import_it=False)  # a name to call, as a _target_ is
    check = get_method(settings.check) if settings.check else None
    for base, searched in composer.check(space):
        if check is not None:
            check(base, searched)
    return space, composer


def check_sampler(settings: Settings, space: Space) -> None:
    """Tell what is wrong with a sampler's settings as far as that can be seen without Optuna.

    Raises:
        UsageError: a target that is not allowed or cannot be used, a negative seed, a grid that cannot
            be laid, several objectives for a sampler that needs one.
    """
    sampler = settings.sampler
    target = str(sampler.get("_target_"))
    check_target(sampler.get("_target_"), import_it=False)
    if target in ENDS_ITSELF:
        why = "it ends a study by itself, which nobody here waits for"
        raise usage_error("sampler", target, f"{why}; hydra/sweeper/sampler=grid has every point")
    if target.endswith(ONE_OBJECTIVE) and len(settings.directions) > 1:
        raise usage_error("sampler", target, "needs one objective")
    seed = sampler.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise usage_error("sampler.seed", seed, "must be a whole number, 0 or more")
    if target.endswith(".GridSampler") and "points" in sampler:
        combinations(space, sampler["points"])


def make_executor(settings: Settings) -> Executor:
    """The executor that the settings name.

    Raises:
        UsageError: no such executor, or it does not fit this machine.
    """
    engine = {
        "name": settings.engine,
        "build": settings.build,
        "options": settings.fused,
        "trials": settings.n_trials,
    }
    target = settings.executor.get("_target_")
    check_target(target)
    known = [
        name for name in inspect.signature(get_object(str(target))).parameters if name != "engine"
    ]
    for key, value in settings.executor.items():
        if not str(key).startswith("_") and key not in known:
            raise usage_error(f"executor.{key}", value, "no such setting", known, like=str(key))
    executor: Executor = instantiate(settings.executor, engine=engine)
    if not isinstance(executor, LocalExecutor):
        forkserver.end()  # begun before it was known
    for key in ("trial_timeout", "heartbeat_timeout"):
        if getattr(settings, key) and not executor.can_stop:
            name = str(target).rpartition(".")[2]
            raise usage_error(key, getattr(settings, key), f"{name} cannot stop a trial")
    return executor
