"""The Optuna study of a sweep: the only place where trials are asked for and told."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from caviar.space.space import Space
from caviar.sweep.journal import Journal
from caviar.sweep.samplers import PlacedSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Asked:
    """A trial that the study proposes: its number, and the values as the run sees them."""

    number: int
    values: dict[str, Any]


class SweepStudy:
    """One study, asked and told by one controller.

    Args:
        space: what is searched.
        sampler: Optuna's or caviar's; seeded by whoever made it.
        directions: one an objective.
        storage: an open `Journal`, or an URL that Optuna knows.
        name: the study's name in its storage.
    """

    def __init__(
        self,
        space: Space,
        sampler: BaseSampler,
        directions: list[str],
        storage: Journal | str,
        name: str,
    ) -> None:
        self.space = space
        self._journal = storage if isinstance(storage, Journal) else None
        opened: BaseStorage | str = (
            JournalStorage(storage) if isinstance(storage, Journal) else storage
        )
        self.study = optuna.create_study(
            study_name=name,
            storage=opened,
            sampler=sampler,
            directions=directions,  # type: ignore[arg-type]
        )
        self.finite = sampler.bind(space) if isinstance(sampler, PlacedSampler) else None
        self._sampler = sampler
        self._asked = 0
        self._ids: dict[int, int] = {}

    def ask(self) -> Asked:
        """The next trial. Its place in the order of asking decides what a placed sampler proposes."""
        if isinstance(self._sampler, PlacedSampler):
            self._sampler.place = self._asked
        self._asked += 1
        storage = self.study._storage
        with self._one_write():
            # Not study.ask(): it looks through all trials for a waiting one, each time.
            trial = optuna.Trial(self.study, storage.create_new_trial(self.study._study_id))
            values = self.space.draw(lambda h: trial._suggest(h.study_name, h.distribution))
        return Asked(trial.number, values)

    def tell(self, number: int, values: list[float] | None) -> None:
        """A trial has ended: with its scores, or, with None, failed."""
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        with self._one_write():
            self.study.tell(number, values, state)

    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of asking."""
        return self.study.get_trials(deepcopy=False)

    def _one_write(self) -> AbstractContextManager[None]:
        return self._journal.batch() if self._journal else nullcontext()
