"""A sweep's settings, as they stand under ``hydra.sweeper``, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from caviar.base.direction import DIRECTIONS
from caviar.base.errors import usage_error
from caviar.base.objectives import each, labels
from caviar.base.rules import POSITIVE, at_least, check_settings
from caviar.engines.make import ENGINES, FUSED_OPTIONS

_RULES = {
    "n_trials": at_least(1).or_null,
    "retries": at_least(0),
    "max_same_failures": at_least(1),
    "trial_timeout": POSITIVE.or_null,
    "heartbeat_timeout": POSITIVE.or_null,
    "storage_timeout": POSITIVE,
    "fused.lanes": at_least(1).or_null,
    "fused.keep": at_least(0).or_null,
    "fused.checkpoint_every": POSITIVE.or_null,
}

RESUMED = ("metric", "direction", "sampler", "pruner", "enqueue", "baseline", "history")
"""What decides, beside the space, which trials come next: a resumed sweep has it from ``sweep.yaml``."""


@dataclass
class Settings:
    """What ``hydra.sweeper`` holds. The plugin's config has these fields, and ``sweep.yaml`` records them.

    Attributes:
        n_trials: how many trials in total; None for the whole grid, or 20 where there is no grid.
        metric: the name of the score; a label, the score itself is what the task returns. A list of them
            for several objectives.
        direction: ``minimize`` or ``maximize``; a list of them for several objectives.
        params: the space in Hydra's grammar.
        when: under which choices a hyperparameter exists.
        sampler, executor, pruner: ``_target_`` and arguments; a pruner is empty for none.
        engine: how a trial trains: one of `caviar.engines.make.ENGINES`.
        build: dotted name of the function config -> `caviar.Recipe`, for a fused engine.
        fused: arguments of the fused engine.
        enqueue: points to try first, each by hyperparameter.
        baseline: whether the config as it stands is trial 0, before those of ``enqueue``; it is one of
            ``n_trials``, and no pruner ends it.
        history: earlier sweeps, by name or folder: a sampler that learns begins with their trials, and what
            the sweep is said to mean rests on them too. Those that do not fit the space are left out.
        storage: None for a journal in the sweep's folder, else an URL that Optuna knows.
        storage_timeout: seconds that a database may not answer before the sweep stops.
        check: dotted name of a function (config, searched) that gets every composed config before a
            worker starts, with values of the space by key (see `Composer.check`), and raises UsageError.
        retries: how often a trial is tried again after an error that may not be its own. A try that was
            told to stop is none, up to `caviar.sweep.asking.INTERRUPTIONS` of them.
        trial_timeout: seconds that a trial may take; None for any time.
        heartbeat_timeout: seconds that a trial may be silent; None for any time.
        max_same_failures: this many trials failing the same way from the start end the sweep.
        report: whether ``report.html`` is written at the end, which takes a second or two.

    Raises:
        UsageError: a value that cannot work.
    """

    n_trials: int | None = None
    metric: Any = None
    direction: Any = "minimize"
    params: Any = field(default_factory=dict[str, Any])  # null clears a space that a config has
    when: Any = field(default_factory=dict[str, Any])
    sampler: Any = field(default_factory=dict[str, Any])
    pruner: Any = field(default_factory=dict[str, Any])
    executor: Any = field(default_factory=dict[str, Any])
    engine: str = "solo"
    build: str | None = None
    fused: dict[str, Any] = field(default_factory=dict[str, Any])
    enqueue: list[Any] = field(default_factory=list[Any])
    baseline: bool = False
    history: Any = field(default_factory=list[Any])
    storage: str | None = None
    storage_timeout: float = 60.0
    check: str | None = None
    retries: int = 1
    trial_timeout: float | None = None
    heartbeat_timeout: float | None = None
    max_same_failures: int = 5
    report: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Settings:
        """The settings under ``hydra.sweeper``; null stands for the default.

        Raises:
            UsageError: there is no such setting, or a value cannot work.
        """
        known = [f.name for f in fields(cls)]
        for key, value in given.items():
            if key not in known:
                raise usage_error(f"hydra.sweeper.{key}", value, "no such setting", known, like=key)
        return cls(**{key: value for key, value in given.items() if value is not None})

    def __post_init__(self) -> None:
        for key in ("sampler", "pruner", "executor"):
            value = getattr(self, key)
            if not isinstance(value, Mapping):
                why = f"a config group chooses it: hydra/sweeper/{key}={value}"
                raise usage_error(f"hydra.sweeper.{key}", value, why)
        check_settings({**vars(self), **{f"fused.{k}": v for k, v in self.fused.items()}}, _RULES)
        for direction in self.directions:
            if direction not in DIRECTIONS:
                raise usage_error("direction", direction, "no such direction", DIRECTIONS)
        named = each(self.metric)
        if len(named) > 1 and len(named) != len(self.directions):
            why = f"{len(named)} names, and direction={self.direction} has {len(self.directions)}"
            raise usage_error("metric", self.metric, f"{why}: one an objective")
        if len(set(named)) < len(named):
            raise usage_error("metric", self.metric, "names an objective twice")
        if self.engine not in ENGINES:
            raise usage_error("engine", self.engine, "no such engine", ENGINES)
        for key in self.fused:
            if key not in FUSED_OPTIONS:
                raise usage_error("fused", key, "no such option", FUSED_OPTIONS)
        if self.engine == "fused" and self.build is None:
            raise usage_error("engine", "fused", "needs hydra.sweeper.build, see caviar.Recipe")
        for name in self.earlier:
            if not isinstance(name, str) or not name:
                why = "must be a sweep's name or folder, or a list of them"
                raise usage_error("hydra.sweeper.history", name, why)
        if self.pruner and len(self.directions) > 1:
            raise usage_error(
                "pruner", self.pruner.get("_target_"), "several objectives cannot be pruned"
            )

    @property
    def earlier(self) -> list[Any]:
        """The sweeps that ``history`` names."""
        several = isinstance(self.history, list)
        return cast("list[Any]", self.history) if several else [self.history]

    @property
    def labels(self) -> list[str]:
        """What each objective's score is called."""
        return labels(self.metric, len(self.directions))

    @property
    def directions(self) -> list[str]:
        """One direction an objective."""
        return [str(direction) for direction in each(self.direction)]
