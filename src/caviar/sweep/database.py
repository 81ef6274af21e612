"""A study in a database: known in memory, and written by one process, a turn of its loop at a time."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from caviar.base.errors import causes
from caviar.base.private import next_study_id, next_trial_id, trial_id
from caviar.sweep.rows import new_trial, put_study_attribute, rows
from caviar.sweep.store import StorageGoneError
from caviar.sweep.study_owner import StudyOwner

Found = TypeVar("Found")

LOOK_SECONDS = 0.2


class Database(InMemoryStorage):
    """A study in a database server or a SQLite file, in the tables of Optuna's `RDBStorage`.

    Optuna asks the memory alone: nobody else writes to the study, which the `guard` sees to. What was
    written since the last turn is one transaction, so that a lost connection loses all of it or nothing.
    It is then made again, until the server answers. A trial's id is the server's.

    Args:
        url: as SQLAlchemy takes it.
        patience: seconds that the server may not answer, once it did.

    Attributes:
        server: Optuna's storage, for what is read or written once a sweep.
        guard: what every transaction begins with; None for nothing.
        hurried: asked while waiting: whether to wait no more.
        say: told when the waiting begins, and when it is over.
    """

    def __init__(self, url: str, patience: float) -> None:
        super().__init__()
        self._is_file = url.startswith("sqlite")
        locked = {"connect_args": {"timeout": max(patience, 5.0)}} if self._is_file else {}
        self.server = RDBStorage(url, engine_kwargs=locked)
        self.guard: StudyOwner | None = None
        self.patience = patience
        self.hurried: Callable[[], bool] = lambda: False
        self.say: Callable[[str], None] = lambda text: None
        self.batching = False
        self._session: Session | None = None
        self._written: dict[int, FrozenTrial] = {}  # as they were, those changed since
        self._of_study: dict[tuple[str, int, str], Any] = {}  # attributes not written yet
        self._new: dict[int, int] = {}  # the studies of those of them that are new

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's."""
        return self.server.engine

    def hold(self, study_id: int) -> StudyOwner:
        """Hold a study for this process; see `StudyOwner`."""
        return StudyOwner(self, study_id)

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        made = self.server.create_new_study(directions, study_name)
        next_study_id(self, made)
        return super().create_new_study(directions, self.server.get_study_name_from_id(made))

    def get_study_id_from_name(self, study_name: str) -> int:
        with suppress(KeyError):
            return super().get_study_id_from_name(study_name)
        found = self.server.get_study_id_from_name(study_name)
        next_study_id(self, found)
        super().create_new_study(self.server.get_study_directions(found), study_name)
        for key, value in self.server.get_study_user_attrs(found).items():
            super().set_study_user_attr(found, key, value)
        for key, value in self.server.get_study_system_attrs(found).items():
            super().set_study_system_attr(found, key, value)
        for trial in self.server.get_all_trials(found, deepcopy=False):
            next_trial_id(self, trial_id(trial))
            super().create_new_trial(found, trial)
        return found

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        with self.batch():
            super().set_study_user_attr(study_id, key, value)
            self._of_study["user", study_id, key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        with self.batch():
            super().set_study_system_attr(study_id, key, value)
            self._of_study["system", study_id, key] = value

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template = template_trial or create_trial(state=TrialState.RUNNING)
        number = len(self.get_all_trials(study_id, deepcopy=False))
        bare = copy.copy(template)
        bare.number, bare.values = number, None
        bare.params, bare.distributions, bare.intermediate_values = {}, {}, {}
        bare.user_attrs, bare.system_attrs = {}, {}
        with self.batch():
            made = self.patiently(lambda: new_trial(self._begun(), study_id, number, bare))
            self._new[made] = study_id
            self._written[made] = bare
            next_trial_id(self, made)
            return super().create_new_trial(study_id, template)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        with self._changed(trial_id):
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        with self._changed(trial_id):
            return super().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        with self._changed(trial_id):
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        with self._changed(trial_id):
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        with self._changed(trial_id):
            super().set_trial_system_attr(trial_id, key, value)

    @contextmanager
    def batch(self) -> Generator[None]:
        """Gather what is written inside, for one transaction at its end; may be nested.

        Raises:
            StorageGoneError: the server did not answer for `patience` seconds, or it was `hurried`.
            StorageInternalError: it did not take it.
        """
        if self.batching:
            yield
            return
        self.batching = True
        try:
            yield
            if self._written or self._of_study:
                self.write()
        finally:
            self.batching = False
            self._roll_back()

    def write(self) -> None:
        """Write what has changed in one transaction, and the sign of life that begins it.

        Raises:
            StorageGoneError, StorageInternalError: see `batch`.
        """
        if self.guard:
            self.guard.next()
        self.patiently(self._commit)
        for unwritten in (self._written, self._new, self._of_study):
            unwritten.clear()
        if self.guard:
            self.guard.written()

    def sync(self) -> None:
        """Nothing: what was committed is safe."""

    def close(self) -> None:
        """Let the connections go."""
        self.server.remove_session()
        self.engine.dispose()

    @contextmanager
    def _changed(self, trial_id: int) -> Generator[None]:
        with self.batch():
            self._written.setdefault(trial_id, self.get_trial(trial_id))
            yield

    def _begun(self) -> Session:
        """The transaction under way; one that begins has the new trials of one that was lost."""
        if self._session is None:
            self._session = Session(self.engine)
            self._insert(self._session)
        return self._session

    def _insert(self, session: Session) -> None:
        for made, study_id in self._new.items():
            bare = self._written[made]
            new_trial(session, study_id, bare.number, bare, made)

    def _commit(self) -> None:
        goes_on = self._session is not None
        session = self._session = self._session or Session(self.engine)
        if self.guard is None or self.guard.renew(session):
            if not goes_on:
                self._insert(session)
            for number, before in self._written.items():
                session.add_all(rows(session, number, before, self.get_trial(number)))
            for (kind, study_id, key), value in self._of_study.items():
                put_study_attribute(session, kind, study_id, key, value)
            session.commit()
        self._roll_back()

    def _roll_back(self) -> None:
        """Forget the transaction under way, if it has not ended."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(SQLAlchemyError):
                session.close()

    def patiently(self, ask: Callable[[], Found]) -> Found:
        """What ``ask`` gives, which is asked again while nobody answers.

        Raises:
            StorageGoneError, StorageInternalError: see `batch`.
        """
        began: float | None = None
        while True:
            try:
                given = ask()
            except (SQLAlchemyError, StorageInternalError) as error:
                self._roll_back()
                # A file that is not there does not come back; one that is locked was waited for.
                lost = None if self._is_file else _connection_lost(error)
                if lost is None:
                    if isinstance(error, StorageInternalError):
                        raise
                    said = error.orig if isinstance(error, DBAPIError) else error
                    raise StorageInternalError(" ".join(str(said).split())) from error
                if began is None:
                    began = time.monotonic()
                    if self.patience:
                        self.say(
                            f"the database does not answer; asked again for {self.patience:g} s"
                        )
                waited = time.monotonic() - began
                if waited >= self.patience or self.hurried():
                    self.patience = 0.0  # once is enough
                    why = f"the database did not answer for {waited:.0f} s: {lost}"
                    raise StorageGoneError(why) from error
                time.sleep(min(LOOK_SECONDS, self.patience))
            else:
                if began is not None:
                    self.say(f"the database answers again, after {time.monotonic() - began:.0f} s")
                return given


def _connection_lost(error: BaseException | None) -> str | None:
    """What the driver says, in a line, where the server went away; None of any other error."""
    for one in causes(error):
        if isinstance(one, DBAPIError):
            gone = isinstance(one, OperationalError | InterfaceError)
            if gone or one.connection_invalidated:
                return " ".join(str(one.orig).split())
    return None
