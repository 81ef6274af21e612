"""The Optuna study of a sweep: the only place where trials are asked for and told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from caviar.base.errors import UsageError, usage_error
from caviar.base.messages import Failed, Finished, Pruned
from caviar.base.private import (
    backend_of,
    forget_trials,
    tell_without_copy,
    write_intermediate_value,
)
from caviar.space.space import Space
from caviar.sweep.baseline import BASELINE, SCORES, as_it_ended, is_baseline
from caviar.sweep.journal import Journal
from caviar.sweep.pickles import load_no_pickles
from caviar.sweep.record import without_password
from caviar.sweep.samplers import PlacedSampler
from caviar.sweep.study_owner import StudyOwner
from caviar.sweep.warm_study import WarmStudy

load_no_pickles()
optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", ExperimentalWarning)  # whoever names such a sampler knows

RETRY_OF = "retry_of"
INTERRUPTED = "interrupted"
NEVER_RAN = "never_ran"
KILLED = "killed"
"""How often the sweep's process was killed while a trial, or one that it repeats, was under way."""

INTERRUPTIONS = 10
"""So often a trial goes on after it was told to stop, and so often after its sweep's process was killed:
neither is its fault, but one that brings its worker or its machine down would go on for ever."""

HISTORY_FREE = (
    PlacedSampler,
    optuna.samplers.QMCSampler,
    optuna.samplers.RandomSampler,
)
"""Samplers that look at no result."""


class StorageGoneError(StorageInternalError):
    """A database did not answer for as long as it was waited for."""


_PLAIN = (str, int, float, bool, type(None))

HowItEnded = Callable[[int], Finished | Pruned | Failed | None]


@dataclass(frozen=True)
class Asked:
    """A trial to run: its number, and the values as the run sees them.

    ``retry_of`` are the numbers of the trials that it repeats, the first first; of the ``baseline`` nothing
    is changed: its values are the config's own.
    """

    number: int
    values: dict[str, Any]
    retry_of: tuple[int, ...] = ()
    baseline: bool = False


def open_storage(storage: Journal | str, patience: float = 60.0) -> BaseStorage:
    """Optuna's storage over an open journal, or at an URL.

    Args:
        patience: seconds that a database server may not answer, once it did.

    Raises:
        UsageError: nothing that Optuna knows answers there.
    """
    if isinstance(storage, Journal):
        return JournalStorage(storage)
    try:
        if storage.startswith("sqlite"):
            return optuna.storages.get_storage(storage)
        from caviar.sweep.database import Database

        return optuna.storages.get_storage(Database(storage, patience))
    except Exception as error:  # whatever the database's driver raises
        problem = str(error).splitlines()[0]
        raise usage_error("hydra.sweeper.storage", without_password(storage), problem) from error


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
        self._baseline = baseline
        self._earlier = len(enqueue) + (baseline is not None)
        self._journal = storage if isinstance(storage, Journal) else None
        self._storage = opened = open_storage(storage, patience)
        self._backend = backend_of(opened)
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
        self._study_id = opened.get_study_id_from_name(name)
        # A journal is in the sweep's folder, and who has that has it.
        self._owner = None if self._journal else StudyOwner(opened, self._study_id)
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
        self._ids: dict[int, int] = {}
        self._baselines: dict[int, bool] = {}  # by number, whether it lies inside the space
        if resume is not None:
            with self.one_write():
                self._take_up(resume)

    def wait_for_storage(self, hurried: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Say who may end the waiting for a database that does not answer, and who is told of it."""
        if hasattr(self._backend, "hurried"):
            self._backend.hurried, self._backend.say = hurried, say

    def check_owner(self) -> None:
        """Raise `StudyTakenError` where another process has this study now; called often."""
        if self._owner is not None:
            self._owner.check()

    def release(self) -> None:
        """Let others go on with the study."""
        if self._owner is not None:
            self._owner.release()

    @property
    def places(self) -> int:
        """How many trials have been asked for, retries not counted, and those to retry left out."""
        return self._place - len(self._retries)

    def ask(self) -> Asked:
        """The next trial: one to retry, then the baseline, the enqueued points, what the sampler proposes.

        The place in the order of asking decides what a placed sampler proposes.
        """
        with self.one_write():
            if self._retries:
                return self._ask_again(self._retries.pop(0))
            place, self._place = self._place, self._place + 1
            if place == 0 and self._baseline is not None:
                return self._ask_baseline(self._baseline)
            queued = place - self._earlier + len(self._enqueue)
            point: Mapping[str, Any] = self._enqueue[queued] if place < self._earlier else {}
            if isinstance(self._sampler, PlacedSampler):
                self._sampler.place = place - self._earlier
                if self._sampler.place < 0:
                    self._sampler.place += (
                        2**31
                    )  # what a point leaves open, from a place of its own
            return self._ask_new(point)

    def waits(self, under_way: int) -> bool:
        """Whether the next trial can only be asked for when those under way have ended."""
        waits_at = getattr(self._sampler, "waits_at", None)
        return bool(under_way and waits_at and not self._retries and waits_at(self._place))

    def report(self, number: int, value: float, step: int) -> None:
        """Note a trial's intermediate value; the pruner sees it at once, others when it is told."""
        if self._prunes:
            with self.one_write():
                self._storage.set_trial_intermediate_value(self._ids[number], step, value)
        else:
            self._reported.setdefault(number, []).append((step, value))

    def should_prune(self, number: int) -> bool:
        """Whether the pruner would end this trial now."""
        if not self._prunes or number in self._baselines:
            return False
        trial = self._storage.get_trial(self._ids[number])
        with self.one_write():
            return self.study.pruner.prune(self.study, trial)

    def tell(self, number: int, state: TrialState, values: list[float] | None = None) -> None:
        """A trial has ended: COMPLETE with its scores, PRUNED, or FAIL."""
        with self.one_write():
            self._write_values(number, self._reported.pop(number, []))
            if state == TrialState.COMPLETE and self._baselines.get(number) is False:
                self._storage.set_trial_user_attr(self._ids[number], SCORES, values)
                state, values = TrialState.FAIL, None
            tell_without_copy(self.study, number, values, state)
        self._ids.pop(number, None)

    def tell_interrupted(self, number: int) -> None:
        """A trial had to stop through no fault of its own: FAIL, but a resumed sweep does it again."""
        with self.one_write():
            self._storage.set_trial_user_attr(self._ids[number], INTERRUPTED, True)
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

    @contextmanager
    def one_write(self) -> Generator[None]:
        """Gather what is written inside, so that it costs one lock and one write; may be nested."""
        inside = self._journal is None or self._journal.batching
        with nullcontext() if inside else self._journal.batch():  # type: ignore[union-attr]
            yield

    def sync(self) -> None:
        """Wait until all that was written outlasts a power cut."""
        if self._journal is not None:
            self._journal.sync()

    def _ask_new(self, point: Mapping[str, Any]) -> Asked:
        storage, study_id = self._storage, self._study_id
        if isinstance(self._sampler, PlacedSampler):
            sampler = self._sampler
            held: dict[str, Any] = {}
            distributions: dict[str, BaseDistribution] = {}

            def propose(h: Any) -> Any:
                distributions[h.study_name] = h.distribution
                held[h.study_name] = (
                    h.to_study(point[h.name]) if h.name in point else sampler.propose(h.study_name)
                )
                return held[h.study_name]

            values = self.space.draw(propose)
            # One entry for the whole trial, not one a value.
            template = create_trial(
                state=TrialState.RUNNING, params=held, distributions=distributions
            )
            return self._asked(storage.create_new_trial(study_id, template), values)
        forget_trials(self.study)
        trial_id = storage.create_new_trial(study_id)
        if point:
            known = {h.name: h for h in self.space.hyperparameters}
            fixed = {known[k].study_name: known[k].to_study(v) for k, v in point.items()}
            storage.set_trial_system_attr(trial_id, "fixed_params", fixed)
        trial = optuna.Trial(self.study, trial_id)
        values = self.space.draw(lambda h: _suggest(trial, h.study_name, h.distribution))
        return self._asked(trial_id, values)

    def _ask_baseline(
        self, values: dict[str, Any], attributes: Mapping[str, Any] | None = None
    ) -> Asked:
        """The config as it stands; to the study it is a draw from the space only where it could be one."""
        known = {h.name: h for h in self.space.hyperparameters}
        inside = bool(values) and self.space.holds(values)
        drawn = {name: known[name] for name in values} if inside else {}
        shown = {name: v if isinstance(v, _PLAIN) else str(v) for name, v in values.items()}
        template = create_trial(
            state=TrialState.RUNNING,
            params={h.study_name: h.to_study(values[name]) for name, h in drawn.items()},
            distributions={h.study_name: h.distribution for h in drawn.values()},
            user_attrs={**(attributes or {}), BASELINE: shown},
        )
        before = tuple((attributes or {}).get(RETRY_OF, ()))
        asked = self._asked(
            self._storage.create_new_trial(self._study_id, template), values, before
        )
        self._baselines[asked.number] = inside
        return replace(asked, baseline=True)

    def _ask_again(self, trial: FrozenTrial) -> Asked:
        before = (*trial.user_attrs.get(RETRY_OF, []), trial.number)
        attributes = {RETRY_OF: list(before), KILLED: trial.user_attrs.get(KILLED, 0)}
        if is_baseline(trial):
            return self._ask_baseline(self._baseline or {}, attributes)
        template = create_trial(
            state=TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
        )
        values = self.space.draw(lambda h: trial.params[h.study_name])
        trial_id = self._storage.create_new_trial(self._study_id, template)
        return self._asked(trial_id, values, before)

    def _asked(
        self, trial_id: int, values: dict[str, Any], retry_of: tuple[int, ...] = ()
    ) -> Asked:
        number = self._storage.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        return Asked(number, values, retry_of)

    def _write_values(self, number: int, values: Sequence[tuple[int, float]]) -> None:
        storage, trial_id = self._storage, self._ids[number]
        for step, value in values:
            if isinstance(storage, JournalStorage):
                # The tell that follows reads them all back.
                write_intermediate_value(storage, trial_id, step, value)
            else:
                storage.set_trial_intermediate_value(trial_id, step, value)

    def _take_up(self, how_it_ended: HowItEnded) -> None:
        """Tell trials that were under way when the last controller ended, and note what to retry."""
        for trial in self.current():
            if trial.state != TrialState.RUNNING:
                continue
            ended = how_it_ended(trial.number)
            if isinstance(ended, Finished):
                if is_baseline(trial):
                    self._ids[trial.number] = self._id_of(trial)
                    self._baselines[trial.number] = bool(trial.params)
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
                    mark = INTERRUPTED if self._is_whole(trial) else NEVER_RAN
                    trial_id = self._id_of(trial)
                    self._storage.set_trial_user_attr(trial_id, mark, True)
                    self._storage.set_trial_user_attr(trial_id, KILLED, killed)
                    self.orphans.append(trial.number)
                self.study.tell(trial.number, state=TrialState.FAIL)
        current = self.current()
        self._place = len(current)
        self._retries = [t for t in current if INTERRUPTED in t.user_attrs]

    def _id_of(self, trial: FrozenTrial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Whether all its values were written: it runs only after that."""
        if is_baseline(trial):
            return True
        try:
            self.space.draw(lambda h: trial.params[h.study_name])
        except KeyError:
            return False
        return True


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """What the sampler proposes, as the study holds it."""
    if isinstance(distribution, FloatDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_float(name, low, high, step=step, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_int(name, low, high, step=step, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)
