"""What a worker gets for a trial."""

from __future__ import annotations

import pickle
from pathlib import Path

from caviar.runs.folder import CHECKPOINTS
from caviar.space.grammar import as_override
from caviar.sweep.compose import Composer
from caviar.sweep.study import Asked
from caviar.trials import Base, Job


class JobMaker:
    """Makes the job of each trial: which base config it starts from, and what it changes.

    Args:
        composer: gives the base configs.
        trials: the folder that run folders go into.
        metric: the score's name, where it has one.
    """

    def __init__(self, composer: Composer, trials: Path, metric: str | None) -> None:
        self._composer = composer
        self._trials = trials
        self._metric = metric
        self._bases: dict[tuple[tuple[str, str], ...], Base] = {}

    def __call__(self, asked: Asked, attempt: int) -> Job:
        """The job of a trial at its first try (``attempt`` 0), its second (1), …"""
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
            folder=str(self._folder(asked.number)),
            metric=self._metric,
            retry_of=asked.retry_of[-1] if asked.retry_of else None,
            resume_from=self._checkpoints(asked, attempt),
        )

    def _checkpoints(self, asked: Asked, attempt: int) -> str | None:
        """The checkpoints of the latest earlier try that left any."""
        tries = [*asked.retry_of, *([asked.number] if attempt else [])]
        for number in reversed(tries):
            folder = self._folder(number) / CHECKPOINTS
            if folder.is_dir() and any(folder.iterdir()):
                return str(folder)
        return None

    def _folder(self, number: int) -> Path:
        return self._trials / f"{number:04}"
