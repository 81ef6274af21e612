"""The Optuna study of a sweep: the only place where trials are asked for and told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from caviar.base.errors import UsageError
from caviar.base.messages import Failed, Finished, Pruned
from caviar.base.private import method_of, tell_without_copy
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
from caviar.sweep.store import Store
from caviar.sweep.study_owner import StudyOwner

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
        store: where the study is.
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
        self.store = Store(storage, patience)
        self._storage = opened = self.store.optuna
        pruner = pruner or NopPruner()
        try:
            self.study = (
                optuna.load_study(study_name=name, storage=opened, sampler=sampler, pruner=pruner)
                if resume is not None
                else optuna.create_study(
                    study_name=name,
                    storage=opened,
                    sampler=sampler,
                    pruner=pruner,
                    directions=directions,  # type: ignore[arg-type]
                )
            )
        except DuplicatedStudyError:
            raise UsageError(
                f"storage: there is a study {name!r} already; name={name}-2 ?"
            ) from None
        except KeyError:
            raise UsageError(f"storage: there is no study {name!r}") from None
        if history:
            self.study = WarmStudy(name, opened, sampler, pruner)
            self.study.history = history
        study_id = opened.get_study_id_from_name(name)
        database = self.store.database
        self._owner = StudyOwner(database, study_id) if database else None
        self._asking = Asking(self.study, opened, study_id, space, sampler, baseline)
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
            with self.store.one_write():
                self._take_up(resume)

    def check_owner(self) -> None:
        """Raise `StudyTakenError` where another process has this study now; called often."""
        if self._owner is not None:
            self._owner.check()

    def release(self) -> None:
        """Let others go on with the study."""
        if self._owner is not None:
            self._owner.release()
            self.store.close()

    @property
    def places(self) -> int:
        """How many trials have been asked for, retries not counted, and those to retry left out."""
        return self._place - len(self._retries)

    def ask(self) -> Asked:
        """The next trial: one to retry, then the baseline, the enqueued points, what the sampler proposes.

        The place in the order of asking decides what a placed sampler proposes.
        """
        with self.store.one_write():
            if self._retries:
                return self._asking.again(self._retries.pop(0))
            place, self._place = self._place, self._place + 1
            if place == 0 and self._asking.baseline is not None:
                return self._asking.as_it_stands()
            queued = place - self._earlier + len(self._enqueue)
            point: Mapping[str, Any] = self._enqueue[queued] if place < self._earlier else {}
            if isinstance(self._sampler, PlacedSampler):
                self._sampler.place = place - self._earlier
                if self._sampler.place < 0:
                    self._sampler.place += (
                        2**31
                    )  # what a point leaves open, from a place of its own
            return self._asking.new(point)

    def waits(self, under_way: int) -> bool:
        """Whether the next trial can only be asked for when those under way have ended."""
        waits_at = getattr(self._sampler, "waits_at", None)
        return bool(under_way and waits_at and not self._retries and waits_at(self._place))

    def report(self, number: int, value: float, step: int) -> None:
        """Note a trial's intermediate value; the pruner sees it at once, others when it is told."""
        if self._prunes:
            with self.store.one_write():
                self._storage.set_trial_intermediate_value(self._asking.ids[number], step, value)
        else:
            self._reported.setdefault(number, []).append((step, value))

    def should_prune(self, number: int) -> bool:
        """Whether the pruner would end this trial now."""
        if not self._prunes or number in self._asking.baselines:
            return False
        trial = self._storage.get_trial(self._asking.ids[number])
        with self.store.one_write():
            return self.study.pruner.prune(self.study, trial)

    def tell(self, number: int, state: TrialState, values: list[float] | None = None) -> None:
        """A trial has ended: COMPLETE with its scores, PRUNED, or FAIL."""
        with self.store.one_write():
            self.store.write_values(self._asking.ids[number], self._reported.pop(number, []))
            if state == TrialState.COMPLETE and self._asking.baselines.get(number) is False:
                self._storage.set_trial_user_attr(self._asking.ids[number], SCORES, values)
                state, values = TrialState.FAIL, None
            tell_without_copy(self.study, number, values, state)
        self._asking.ids.pop(number, None)

    def tell_interrupted(self, number: int) -> None:
        """A trial had to stop through no fault of its own: FAIL, but a resumed sweep does it again."""
        with self.store.one_write():
            self._storage.set_trial_user_attr(self._asking.ids[number], INTERRUPTED, True)
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
            ended = how_it_ended(trial.number)
            if isinstance(ended, Finished):
                if is_baseline(trial):
                    self._asking.ids[trial.number] = self._id_of(trial)
                    self._asking.baselines[trial.number] = bool(trial.params)
                    self.tell(trial.number, TrialState.COMPLETE, ended.values)
                else:
                    self.study.tell(trial.number, ended.values)
            elif isinstance(ended, Pruned):
                self.study.tell(trial.number, state=TrialState.PRUNED)
            elif isinstance(ended, Failed):
                self.study.tell(trial.number, state=TrialState.FAIL)
            else:
                killed = trial.user_attrs.get(KILLED, 0) + 1
                if killed >= INTERRUPTIONS:
                    self.given_up.append(trial.number)
                else:
                    mark = INTERRUPTED if self._asking.is_whole(trial) else NEVER_RAN
                    trial_id = self._id_of(trial)
                    self._storage.set_trial_user_attr(trial_id, mark, True)
                    self._storage.set_trial_user_attr(trial_id, KILLED, killed)
                    self.orphans.append(trial.number)
                self.study.tell(trial.number, state=TrialState.FAIL)
        current = self.current()
        self._place = len(current)
        self._retries = [t for t in current if INTERRUPTED in t.user_attrs]

    def _id_of(self, trial: FrozenTrial) -> int:
        study_id = self._asking.study_id
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
