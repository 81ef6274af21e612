"""The storage of a study in a database that may be away for a while: it is waited for, and asked again."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from caviar.base.errors import causes
from caviar.base.private import method_of, trial_id
from caviar.sweep.store import StorageGoneError

Found = TypeVar("Found")

LOOK_SECONDS = 0.2

_create = method_of(RDBStorage, "_create_new_trial")
_get = method_of(RDBStorage, "_get_trials")
_set = method_of(RDBStorage, "_set_trial_param")


class Database(RDBStorage):
    """Optuna's storage in a database server, used by one process alone.

    What is asked while the server does not answer (it is restarted, the network is cut) is asked again.
    It may have done it and been cut off before it could say so: what cannot be done twice is looked for
    first. Trials under way are known here, for nobody else writes to them: no trial is read back while it
    runs, which Optuna does twice a trial, with six queries each.

    Args:
        url: as SQLAlchemy takes it; not SQLite's, which is a file.
        patience: seconds that the server may not answer.

    Attributes:
        hurried: asked while waiting: whether to wait no more.
        say: told when the waiting begins, and when it is over.
    """

    def __init__(self, url: str, patience: float) -> None:
        # A connection from before a restart is found dead, and replaced, when it is next used.
        super().__init__(url, engine_kwargs={"pool_pre_ping": True})
        self._under_way: dict[int, FrozenTrial] = {}
        self.patience = patience
        self.hurried: Callable[[], bool] = lambda: False
        self.say: Callable[[str], None] = lambda text: None
        self._newest = -1  # the id of the last trial that is known to be there

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        def create() -> FrozenTrial:
            return _create(self, study_id, template_trial)

        def look() -> FrozenTrial | None:
            # Nobody else asks for trials: one that is new is this one.
            new = _get(self, study_id, None, set(), self._newest)
            return new[-1] if new else None

        trial = self.patiently(create, look)
        self._newest = trial_id(trial)
        if not trial.state.is_finished():
            self._under_way[self._newest] = copy.deepcopy(trial)
        return trial

    def get_trial(self, trial_id: int) -> FrozenTrial:
        known = self._under_way.get(trial_id)
        if known is not None:
            return known
        return self.patiently(lambda: RDBStorage.get_trial(self, trial_id))

    def _get_trials(
        self,
        study_id: int,
        states: Any,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        args = (study_id, states, included_trial_ids, trial_id_greater_than)
        trials = self.patiently(lambda: _get(self, *args))
        self._newest = max([self._newest, *map(trial_id, trials)])
        return trials

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        def look() -> bool | None:
            return RDBStorage.get_trial(self, trial_id).state == state or None

        done = self.patiently(
            lambda: RDBStorage.set_trial_state_values(self, trial_id, state, values), look
        )
        self._under_way.pop(trial_id, None)
        return done

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        args = (trial_id, param_name, param_value_internal, distribution, previous_distribution)

        def look() -> bool | None:
            return param_name in RDBStorage.get_trial(self, trial_id).params or None

        self.patiently(lambda: _set(self, *args), look)
        if trial := self._under_way.get(trial_id):
            trial.distributions = {**trial.distributions, param_name: distribution}
            value = distribution.to_external_repr(param_value_internal)
            trial.params = {**trial.params, param_name: value}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.patiently(lambda: RDBStorage.set_trial_user_attr(self, trial_id, key, value))
        if trial := self._under_way.get(trial_id):
            trial.user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.patiently(lambda: RDBStorage.set_trial_system_attr(self, trial_id, key, value))
        if trial := self._under_way.get(trial_id):
            trial.system_attrs[key] = value

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        args = (trial_id, step, intermediate_value)
        self.patiently(lambda: RDBStorage.set_trial_intermediate_value(self, *args))
        if trial := self._under_way.get(trial_id):
            trial.intermediate_values[step] = intermediate_value

    def patiently(self, ask: Callable[[], Found], look: Callable[[], Any] = lambda: None) -> Any:
        """What ``ask`` gives; asked again, unless ``look`` finds it, while nobody answers.

        Raises:
            StorageGoneError: nobody did for `patience` seconds, or it was `hurried`.
        """
        began: float | None = None
        while True:
            try:
                found = None if began is None else look()
                found = ask() if found is None else found
            except Exception as error:
                lost = _connection_lost(error)
                if lost is None:
                    raise
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
                return found


def _again(name: str) -> Callable[..., Any]:
    """A method of `RDBStorage` that may be called twice without harm, asked patiently."""

    def method(self: Database, *args: Any, **kwargs: Any) -> Any:
        return self.patiently(lambda: getattr(RDBStorage, name)(self, *args, **kwargs))

    return method


for _name in (
    *("get_trial_id_from_study_id_trial_number", "_get_best_trial_id"),
    *("get_study_directions", "get_study_user_attrs", "get_study_system_attrs"),
    *("get_study_name_from_id", "set_study_user_attr", "set_study_system_attr"),
):
    setattr(Database, _name, _again(_name))


def _connection_lost(error: BaseException | None) -> str | None:
    """What the driver says, in a line, where the server went away; None of any other error."""
    for one in causes(error):
        if isinstance(one, DBAPIError):
            gone = isinstance(one, OperationalError | InterfaceError)
            if gone or one.connection_invalidated:
                return " ".join(str(one.orig).split())
    return None
