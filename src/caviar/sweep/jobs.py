"""What a worker gets for a trial."""

from __future__ import annotations

import pickle

from omegaconf import read_write

from caviar.base.hydra_versions import app_is_older_than
from caviar.base.messages import Base, Job
from caviar.runs.tags import tags_of
from caviar.space.grammar import as_override
from caviar.sweep.asking import Asked
from caviar.sweep.compose import Composer
from caviar.sweep.folders import TrialFolders
from caviar.sweep.settings import Settings


class JobMaker:
    """Makes the job of each trial: which base config it starts from, and what it changes."""

    def __init__(self, composer: Composer, folders: TrialFolders, settings: Settings) -> None:
        self._composer = composer
        self._folders = folders
        self._settings = settings
        self._bases: dict[tuple[tuple[str, str], ...], tuple[Base, list[str]]] = {}

    def __call__(self, asked: Asked, attempt: int) -> Job:
        """The job of a trial at its first try (``attempt`` 0), its second (1), …"""
        changed = {} if asked.baseline else asked.values
        groups, values = self._composer.split(changed)
        key = tuple(groups.items())
        if key not in self._bases:
            config = self._composer.base(groups)
            if config.hydra.job.chdir is None:
                # As Hydra decides it: by the ``version_base`` of `hydra.main`, which a worker need not
                # know. An app without one expects to be in its own folder, and its trials would write
                # over each other's files.
                with read_write(config.hydra):
                    config.hydra.job.chdir = app_is_older_than("1.2")
            self._bases[key] = Base(len(self._bases), pickle.dumps(config)), tags_of(config)
        base, tags = self._bases[key]
        fixed = self._composer.fixed
        return Job(
            number=asked.number,
            base=base,
            values=values,
            # A group's option 1 is the text '1': no group can be set to a number.
            overrides=fixed
            + [as_override(name, groups.get(name, value)) for name, value in changed.items()],
            params={name.lstrip("+"): value for name, value in asked.values.items()},
            folder=str(self._folders.path(asked.number)),
            metric=self._settings.metric,
            objectives=len(self._settings.directions),
            retry_of=asked.retry_of[-1] if asked.retry_of else None,
            baseline=asked.baseline,
            resume_from=self._checkpoints(asked, attempt),
            tags=tags,
        )

    def _checkpoints(self, asked: Asked, attempt: int) -> str | None:
        """The checkpoints of the latest earlier try that left any."""
        tries = [*asked.retry_of, *([asked.number] if attempt else [])]
        found = (self._folders.checkpoints(number) for number in reversed(tries))
        return next((str(folder) for folder in found if folder), None)
