"""The Optuna study of a sweep: the only place where trials are asked for and told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from caviar.base.errors import UsageError
from caviar.base.messages import Failed, Finished, Pruned, Reported
from caviar.base.private import method_of, tell_without_copy, trial_id
from caviar.space.space import Space
from caviar.sweep.asking import (
    INTERRUPTED,
    INTERRUPTIONS,
    KILLED,
    NEVER_RAN,
    RETRY_OF,
    Asked,
    Asking,
)
from caviar.sweep.baseline import SCORES, as_it_ended, is_baseline
from caviar.sweep.journal import Journal
from caviar.sweep.pickles import load_no_pickles
from caviar.sweep.samplers import PlacedSampler
from caviar.sweep.store import JournalStore, open_database

if TYPE_CHECKING:
    from caviar.sweep.database import Database

load_no_pickles()
optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", ExperimentalWarning)  # whoever names such a sampler knows

HISTORY_FREE = (PlacedSampler, optuna.samplers.QMCSampler, optuna.samplers.RandomSampler)
"""Samplers that look at no result."""


HowItEnded = Callable[[int], Finished | Pruned | Failed | None]
_own_trials = method_of(optuna.Study, "_get_trials")


class WarmStudy(optuna.Study):
    """A study whose samplers and pruners read trials of earlier sweeps first, ``history``, whose numbers
    are below 0. Nothing of these is in its storage.
    """

    history: Sequence[FrozenTrial] = ()

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        before = [t for t in self.history if states is None or t.state in states]
        return [*before, *_own_trials(self, deepcopy, states, use_cache)]


class SweepStudy:
    """One study, asked and told by one controller.

    Args:
        space: what is searched.
        sampler: Optuna's or caviar's; seeded by whoever made it.
        pruner: Optuna's; None for none.
        directions: one an objective.
        storage: an open `Journal`, or an URL that Optuna knows.
        name: the study's name in its storage.
        enqueue: points to try first, by hyperparameter as the run sees them; what a point does not
            name is sampled.
        resume: go on with a study that is there, and ask this how a trial ended that was under way
            when its last controller did; None for a new study, which must not be there.
        patience: seconds that a database server may not answer.
        history: trials of earlier sweeps that the sampler knows too.

    Attributes:
        finite: how many trials the sampler has in all, where that is finite.
        learns: whether what the sampler proposes depends on how earlier trials ended.
        store: Optuna's storage; ``database``: where it is one, and no journal.
        orphans: trials that were cut short when the last controller was killed.
        given_up: those of them that are not tried again: see `INTERRUPTIONS`.

    Raises:
        UsageError: the storage has, or lacks, a study of this name, or another process has that.
    """

    def __init__(
        self,
        space: Space,
        sampler: BaseSampler,
        directions: list[str],
        storage: Journal | str,
        name: str,
        pruner: BasePruner | None = None,
        enqueue: Sequence[Mapping[str, Any]] = (),
        resume: HowItEnded | None = None,
        patience: float = 60.0,
        baseline: dict[str, Any] | None = None,
        history: Sequence[FrozenTrial] = (),
    ) -> None:
        self.space = space
        self._earlier = len(enqueue) + (baseline is not None)
        self.database: Database | None = None
        if isinstance(storage, Journal):
            self.store = JournalStore(storage)
        else:
            self.store = self.database = open_database(storage, patience)
        pruner = pruner or NopPruner()
        parts: dict[str, Any] = {"storage": self.store, "sampler": sampler, "pruner": pruner}
        try:
            if resume is not None:
                self.study = optuna.load_study(study_name=name, **parts)
            else:
                self.study = optuna.create_study(study_name=name, directions=directions, **parts)  # type: ignore[arg-type]
        except DuplicatedStudyError:
            raise UsageError(
                f"storage: there is a study {name!r} already; name={name}-2 ?"
            ) from None
        except KeyError:
            raise UsageError(f"storage: there is no study {name!r}") from None
        if history:
            self.study = WarmStudy(name, **parts)
            self.study.history = history
        study_id = self.store.get_study_id_from_name(name)
        self._owner = self.database.hold(study_id) if self.database else None
        self._asking = Asking(self.study, self.store, study_id, space, sampler, baseline)
        self._prunes = not isinstance(pruner, NopPruner)
        bind = getattr(sampler, "bind", None)  # caviar's own samplers take in the space
        finite: int | None = bind(space) if bind else None
        self.finite = None if finite is None else finite + self._earlier
        self.learns = not isinstance(sampler, HISTORY_FREE)
        self._sampler = sampler
        self._enqueue = list(enqueue)
        self._place = 0
        self.orphans: list[int] = []
        self.given_up: list[int] = []
        self._retries: list[FrozenTrial] = []
        self._reported: dict[int, list[tuple[int, float]]] = {}
        if resume is not None:
            with self.store.batch():
                self._take_up(resume)

    def check_owner(self) -> None:
        """Raise `StudyTakenError` where another process has this study now; called often."""
        if self._owner is not None:
            self._owner.check()

    def release(self) -> None:
        """Let others go on with the study."""
        if self._owner is not None and self.database is not None:
            self._owner.release()
            self.database.close()

    @property
    def places(self) -> int:
        """How many trials have been asked for, retries not counted, and those to retry left out."""
        return self._place - len(self._retries)

    def ask(self) -> Asked:
        """The next trial: one to retry, then the baseline, the enqueued points, what the sampler proposes.

        The place in the order of asking decides what a placed sampler proposes.
        """
        with self.store.batch():
            if self._retries:
                return self._asking.again(self._retries.pop(0))
            place, self._place = self._place, self._place + 1
            if place == 0 and self._asking.baseline is not None:
                return self._asking.as_it_stands()
            queued = place - self._earlier + len(self._enqueue)
            point: Mapping[str, Any] = self._enqueue[queued] if place < self._earlier else {}
            if isinstance(self._sampler, PlacedSampler):
                own = place - self._earlier
                # What a point leaves open has a place of its own.
                self._sampler.place = own if own >= 0 else own + 2**31
            return self._asking.new(point)

    def waits(self, under_way: int) -> bool:
        """Whether the next trial can only be asked for when those under way have ended."""
        waits_at = getattr(self._sampler, "waits_at", None)
        return bool(under_way and waits_at and not self._retries and waits_at(self._place))

    def judge(self, report: Reported) -> bool:
        """Note a trial's intermediate value; whether the pruner, where there is one, would end it now."""
        number = report.number
        if not self._prunes:
            self._reported.setdefault(number, []).append((report.step, report.value))
            return False
        its_id = self._asking.ids[number]
        with self.store.batch():
            self.store.set_trial_intermediate_value(its_id, report.step, report.value)
            if number in self._asking.baselines:
                return False
            return self.study.pruner.prune(self.study, self.store.get_trial(its_id))

    def tell(
        self, number: int, state: TrialState | None, values: list[float] | None = None
    ) -> None:
        """A trial has ended: COMPLETE with its scores, PRUNED, or FAIL; None: as its scores have it."""
        with self.store.batch():
            its_id = self._asking.ids.pop(number)
            for step, value in self._reported.pop(number, []):
                self.store.set_trial_intermediate_value(its_id, step, value)
            if values is not None and self._asking.baselines.get(number) is False:
                self.store.set_trial_user_attr(its_id, SCORES, values)
                state, values = TrialState.FAIL, None
            tell_without_copy(self.study, number, values, state)

    def tell_interrupted(self, number: int) -> None:
        """A trial had to stop through no fault of its own: FAIL, but a resumed sweep does it again."""
        with self.store.batch():
            self.store.set_trial_user_attr(self._asking.ids[number], INTERRUPTED, True)
            self.tell(number, TrialState.FAIL)

    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of asking."""
        return [t for t in self.study.get_trials(deepcopy=False) if t.number >= 0]

    def current(self) -> list[FrozenTrial]:
        """All trials but those that a later one repeats, or that never ran, each as it ended."""
        trials = self.trials()
        repeated = {n for trial in trials for n in trial.user_attrs.get(RETRY_OF, [])}
        left = [t for t in trials if t.number not in repeated and NEVER_RAN not in t.user_attrs]
        return [as_it_ended(trial) for trial in left]

    def _take_up(self, how_it_ended: HowItEnded) -> None:
        """Tell trials that were under way when the last controller ended, and note what to retry."""
        for trial in self.current():
            if trial.state != TrialState.RUNNING:
                continue
            number = trial.number
            its_id = self._asking.ids[number] = trial_id(trial)
            if is_baseline(trial):
                self._asking.baselines[number] = bool(trial.params)
            ended = how_it_ended(number)
            if isinstance(ended, Finished):
                self.tell(number, None, ended.values)  # a file may hold any number of scores
                continue
            killed = trial.user_attrs.get(KILLED, 0) + 1
            if ended is None and killed >= INTERRUPTIONS:
                self.given_up.append(number)
            elif ended is None:
                mark = INTERRUPTED if self._asking.is_whole(trial) else NEVER_RAN
                self.store.set_trial_user_attr(its_id, mark, True)
                self.store.set_trial_user_attr(its_id, KILLED, killed)
                self.orphans.append(number)
            pruned = isinstance(ended, Pruned)
            self.tell(number, TrialState.PRUNED if pruned else TrialState.FAIL)
        current = self.current()
        self._place = len(current)
        self._retries = [t for t in current if INTERRUPTED in t.user_attrs]
