"""A sweep from its settings to its result: the file to read first in this package."""

from __future__ import annotations

import inspect
import pickle
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from caviar.configs import keys_of
from caviar.errors import UsageError, usage_error
from caviar.executors.base import Executor, TaskSource
from caviar.executors.inline import InlineExecutor
from caviar.hydra_errors import one_line
from caviar.runs.config import to_yaml
from caviar.runs.files import write_atomic
from caviar.runs.folder import make_folder
from caviar.security import check_target, instantiate
from caviar.space.grammar import as_override, read
from caviar.space.grid import combinations
from caviar.space.space import Space
from caviar.sweep.compose import Composer
from caviar.sweep.settings import Settings
from caviar.trials import Base, Job

DEFAULT_TRIALS = 20


def run_sweep(
    settings: Settings,
    arguments: list[str],
    master: DictConfig,
    context: HydraContext,
    task: TaskFunction,
) -> int:
    """Run a whole sweep and return its exit status.

    Args:
        settings: what stands under ``hydra.sweeper``.
        arguments: the task's overrides from the command line; those with a sweep join the space.
        master: the config that Hydra composed.
        context: Hydra's, for composing.
        task: the app's function.

    Raises:
        UsageError: something cannot work; nothing was started and nothing written.
    """
    settings = replace(settings, sampler=_seeded(settings.sampler))
    space, composer = read_space(settings, arguments, master, context)
    check_sampler(settings.sampler, space)
    executor = make_executor(settings, task)
    folder = make_folder(Path(master.hydra.sweep.dir).absolute())
    try:
        if hasattr(executor, "log"):
            executor.log = folder / "workers.txt"  # type: ignore[attr-defined]
        executor.start(task_source(task))
        # From here on the workers load torch, while the controller loads Optuna.
        return _run(settings, space, composer, executor, folder, arguments)
    except UsageError:
        shutil.rmtree(folder)
        raise
    finally:
        executor.close()


def _run(
    settings: Settings,
    space: Space,
    composer: Composer,
    executor: Executor,
    folder: Path,
    arguments: list[str],
) -> int:
    from caviar.report.progress import Lines
    from caviar.report.table import print_summary
    from caviar.sweep.journal import Journal
    from caviar.sweep.loop import Loop
    from caviar.sweep.study import SweepStudy

    try:
        sampler = instantiate(settings.sampler)
    except InstantiationException as error:
        raise UsageError(f"hydra.sweeper.sampler: {one_line(error)}") from error
    study = SweepStudy(
        space,
        sampler,
        settings.directions,
        settings.storage or Journal(folder / "study.journal"),
        folder.name,
    )
    n_trials = settings.n_trials or study.finite or DEFAULT_TRIALS
    if study.finite is not None and n_trials > study.finite:
        print(f"the grid has {study.finite} points: n_trials={n_trials} becomes {study.finite}")
        n_trials = study.finite
    write_atomic(folder / "sweep.yaml", to_yaml(_describe(settings, space, n_trials, arguments)))
    view = Lines(folder, n_trials, executor.lanes, settings)
    loop = Loop(
        study,
        executor,
        n_trials,
        JobMaker(composer, folder, settings.metric),
        view,
        settings.max_same_failures,
    )
    outcome = loop.run()
    print_summary(folder, study.trials(), space, settings, outcome)
    return outcome.exit_status


def read_space(
    settings: Settings, arguments: list[str], master: DictConfig, context: HydraContext
) -> tuple[Space, Composer]:
    """Read the space and hold it, and every config it can lead to, against what the app has.

    Raises:
        UsageError: see `caviar.space` and `Composer.check`; or there is nothing to search.
    """
    reading = read(settings.params, arguments, context.config_loader)
    composer = Composer(context.config_loader, master, reading.fixed)

    def value_of(parent: str) -> Any:
        if composer.is_group(parent):
            return composer.base({}).hydra.runtime.choices[parent]
        marker = object()
        value = OmegaConf.select(composer.base({}), parent, default=marker)
        if value is marker:
            raise usage_error("when", parent, "the config has no such key", keys_of(master))
        return value

    space = Space.build(reading.hyperparameters, settings.when, value_of)
    if not space.hyperparameters:
        raise UsageError(
            "hydra.sweeper.params={}: the space is empty; name a hyperparameter, "
            "as in 'optimizer.lr=tag(log, interval(1e-4, 1e-1))'"
        )
    check = get_method(settings.check) if settings.check else None
    for base in composer.check(space):
        if check is not None:
            check(base)
    return space, composer


def check_sampler(sampler: Mapping[str, Any], space: Space) -> None:
    """Tell what is wrong with a sampler's settings as far as that can be seen without Optuna.

    Raises:
        UsageError: a target that is not allowed, a negative seed, a grid that cannot be laid.
    """
    check_target(sampler.get("_target_"), import_it=False)
    seed = sampler.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise usage_error("sampler.seed", seed, "must be a whole number, 0 or more")
    if str(sampler.get("_target_")).endswith(".GridSampler") and "points" in sampler:
        combinations(space, sampler["points"])


def make_executor(settings: Settings, task: Callable[[Any], Any]) -> Executor:
    """The executor that the settings name.

    Raises:
        UsageError: no such executor, or it does not fit this machine.
    """
    target = settings.executor.get("_target_")
    if target == f"{InlineExecutor.__module__}.{InlineExecutor.__qualname__}":
        return InlineExecutor(inspect.unwrap(task))
    return instantiate(settings.executor)


def task_source(task: TaskFunction) -> TaskSource:
    """How another process finds the task function that Hydra handed over."""
    if task.__module__ != "__main__":
        return TaskSource(task.__name__, task.__module__, None)
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        # Started with `python -m`: a package's name stands for its __main__ module.
        return TaskSource(task.__name__, spec.name, None)
    return TaskSource(task.__name__, None, str(Path(main.__file__ or "").absolute()))


class JobMaker:
    """Makes the job of each trial: which base config it starts from, and what it changes."""

    def __init__(self, composer: Composer, folder: Path, metric: str | None) -> None:
        self._composer = composer
        self._trials = folder / "trials"
        self._metric = metric
        self._bases: dict[tuple[tuple[str, str], ...], Base] = {}

    def __call__(self, asked: Any) -> Job:
        groups, values = self._composer.split(asked.values)
        key = tuple(groups.items())
        if key not in self._bases:
            config = self._composer.base(groups)
            self._bases[key] = Base(len(self._bases), pickle.dumps(config))
        fixed = self._composer.fixed
        return Job(
            number=asked.number,
            base=self._bases[key],
            values=values,
            overrides=fixed + [as_override(name, value) for name, value in asked.values.items()],
            params={name.lstrip("+"): value for name, value in asked.values.items()},
            folder=str(self._trials / f"{asked.number:04}"),
            metric=self._metric,
        )


def _seeded(sampler: Mapping[str, Any]) -> dict[str, Any]:
    """A sampler's settings with its seed drawn, where it was left open: ``sweep.yaml`` records it."""
    seed = secrets.randbelow(2**31) if "seed" in sampler and sampler["seed"] is None else None
    return {**sampler, "seed": seed} if seed is not None else dict(sampler)


def _describe(
    settings: Settings, space: Space, n_trials: int, arguments: list[str]
) -> dict[str, Any]:
    """What ``sweep.yaml`` holds: all that it takes to read the sweep, or to start it again."""
    return {
        "schema": 1,
        "n_trials": n_trials,
        "metric": settings.metric,
        "direction": settings.directions
        if len(settings.directions) > 1
        else settings.directions[0],
        "space": {h.name: str(h) for h in space.hyperparameters},
        "when": {name: {p: list(v) for p, v in c.items()} for name, c in space.conditions.items()},
        "sampler": dict(settings.sampler),
        "engine": settings.engine,
        "executor": dict(settings.executor),
        "storage": settings.storage or "study.journal",
        "command": [sys.executable, *sys.orig_argv[1:]],
        "folder": str(Path.cwd()),
        "overrides": arguments,
        "versions": _versions(),
        "git_commit": _git_commit(),
    }


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in ("caviar", "torch", "lightning", "hydra-core", "optuna", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of the folder that the sweep was started in, with ``-dirty`` where files differ."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
