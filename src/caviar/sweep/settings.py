"""A sweep's settings, as they stand under ``hydra.sweeper``, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caviar.errors import usage_error

DIRECTIONS = ("minimize", "maximize")
ENGINES = ("solo",)


@dataclass(frozen=True)
class Settings:
    """What ``hydra.sweeper`` holds.

    Attributes:
        n_trials: how many trials in total; None for the whole grid, or 20 where there is no grid.
        metric: the name of the score; a label, the score itself is what the task returns.
        direction: ``minimize`` or ``maximize``; a list of them for several objectives.
        params: the space in Hydra's grammar.
        when: under which choices a hyperparameter exists.
        sampler: ``_target_`` and arguments.
        executor: ``_target_`` and arguments.
        engine: how a trial trains.
        storage: None for a journal in the sweep's folder, else an URL that Optuna knows.
        check: dotted name of a function that gets every composed config before a worker starts, and
            raises UsageError.
        max_same_failures: this many trials failing the same way from the start end the sweep.

    Raises:
        UsageError: a value that cannot work.
    """

    n_trials: int | None = None
    metric: str | None = None
    direction: Any = "minimize"
    params: Mapping[str, Any] = field(default_factory=dict)
    when: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    executor: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "solo"
    storage: str | None = None
    check: str | None = None
    max_same_failures: int = 5

    def __post_init__(self) -> None:
        if self.n_trials is not None and self.n_trials < 1:
            raise usage_error("n_trials", self.n_trials, "must be at least 1")
        for direction in self.directions:
            if direction not in DIRECTIONS:
                raise usage_error("direction", direction, "no such direction", DIRECTIONS)
        if self.engine not in ENGINES:
            raise usage_error("engine", self.engine, "no such engine", ENGINES)

    @property
    def directions(self) -> list[str]:
        """One direction an objective."""
        several = isinstance(self.direction, list | tuple)
        return [str(d) for d in self.direction] if several else [str(self.direction)]
