"""What a worker gets for a trial."""

from __future__ import annotations

import pickle

from omegaconf import DictConfig, read_write

from caviar.base.hydra_versions import app_is_older_than
from caviar.base.messages import Base, Job
from caviar.runs.tags import tags_of
from caviar.space.grammar import as_override
from caviar.sweep.asking import Asked
from caviar.sweep.compose import Composer
from caviar.sweep.folders import TrialFolders


class JobMaker:
    """Makes the job of each trial: which base config it starts from, and what it changes.

    Args:
        composer: gives the base configs.
        folders: where run folders go.
        metric: the score's name, where it has one.
        objectives: how many scores a trial has.
    """

    def __init__(
        self, composer: Composer, folders: TrialFolders, metric: str | None, objectives: int
    ) -> None:
        self._composer = composer
        self._folders = folders
        self._metric = metric
        self._objectives = objectives
        self._bases: dict[tuple[tuple[str, str], ...], Base] = {}
        self._tags: dict[tuple[tuple[str, str], ...], list[str]] = {}

    def __call__(self, asked: Asked, attempt: int) -> Job:
        """The job of a trial at its first try (``attempt`` 0), its second (1), …"""
        changed = {} if asked.baseline else asked.values
        groups, values = self._composer.split(changed)
        key = tuple(groups.items())
        if key not in self._bases:
            config = self._composer.base(groups)
            _settle_chdir(config)
            self._bases[key] = Base(len(self._bases), pickle.dumps(config))
            self._tags[key] = tags_of(config)
        fixed = self._composer.fixed
        return Job(
            number=asked.number,
            base=self._bases[key],
            values=values,
            # A group's option 1 is the text '1': no group can be set to a number.
            overrides=fixed
            + [as_override(name, groups.get(name, value)) for name, value in changed.items()],
            params={name.lstrip("+"): value for name, value in asked.values.items()},
            folder=str(self._folders.path(asked.number)),
            metric=self._metric,
            objectives=self._objectives,
            retry_of=asked.retry_of[-1] if asked.retry_of else None,
            baseline=asked.baseline,
            resume_from=self._checkpoints(asked, attempt),
            tags=self._tags[key],
        )

    def _checkpoints(self, asked: Asked, attempt: int) -> str | None:
        """The checkpoints of the latest earlier try that left any."""
        tries = [*asked.retry_of, *([asked.number] if attempt else [])]
        found = (self._folders.checkpoints(number) for number in reversed(tries))
        return next((str(folder) for folder in found if folder), None)


def _settle_chdir(config: DictConfig) -> None:
    """Say whether trials change to their folders where the app leaves that open, as Hydra decides it.

    It depends on the ``version_base`` of `hydra.main`: an app without one expects to be in its own folder,
    and its trials would write over each other's files. A worker need not know it.
    """
    if config.hydra.job.chdir is None:
        with read_write(config.hydra):
            config.hydra.job.chdir = app_is_older_than("1.2")
