"""A study's database: known in memory, written a turn at a time, all of a turn or nothing, once."""

import math
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from caviar.sweep.database import Database
from caviar.sweep.store import StorageGoneError
from caviar.sweep.study_owner import StudyOwner

SPACE = {
    "a": FloatDistribution(1e-5, 1.0, log=True),
    "b": IntDistribution(0, 9),
    "c": CategoricalDistribution(["x", "y", None]),
}
json_values = st.recursive(st.none() | st.integers(-5, 5) | st.text(max_size=3), st.lists)
numbers = st.floats(allow_nan=True, allow_infinity=True)
finished = st.sampled_from([TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED])
steps = st.one_of(
    st.tuples(st.just("new"), st.booleans(), json_values),
    st.tuples(st.just("param"), st.sampled_from(sorted(SPACE)), st.floats(0.0, 1.0)),
    st.tuples(st.just("user"), st.text(min_size=1, max_size=2), json_values),
    st.tuples(st.just("system"), st.text(min_size=1, max_size=2), json_values),
    st.tuples(st.just("study"), st.text(min_size=1, max_size=2), json_values),
    st.tuples(st.just("step"), st.integers(0, 3), numbers),
    st.tuples(st.just("end"), finished, st.floats(allow_nan=False)),
)


def take(database: Database, study: int, step: tuple[str, Any, Any], chosen: int) -> None:
    """Do to a trial under way what a step says; what cannot be done then is left out."""
    what, name, value = step
    if what == "new":
        whole = create_trial(
            state=TrialState.RUNNING,
            params={"a": 0.5, "c": None},
            distributions={"a": SPACE["a"], "c": SPACE["c"]},
            user_attrs={"who": value},
            intermediate_values={0: math.nan},
        )
        database.create_new_trial(study, whole if name else None)
    elif what == "study":
        database.set_study_user_attr(study, name, value)
        database.set_study_system_attr(study, name, value)
    else:
        under_way = database.get_all_trials(study, False, (TrialState.RUNNING,))
        if not under_way:
            return
        trial = under_way[chosen % len(under_way)]
        one = trial._trial_id
        if what == "param" and name not in trial.params:
            low = {"a": 1e-5 + value * 0.9, "b": round(value * 9), "c": round(value * 2)}[name]
            database.set_trial_param(one, name, low, SPACE[name])
        elif what == "user":
            database.set_trial_user_attr(one, name, value)
        elif what == "system":
            database.set_trial_system_attr(one, name, value)
        elif what == "step":
            database.set_trial_intermediate_value(one, name, value)
        elif what == "end":
            values = [value] if name == TrialState.COMPLETE else None
            database.set_trial_state_values(one, name, values)


def assert_written(database: Database, study: int) -> None:
    """What Optuna's own storage finds in the tables is what the memory has."""
    theirs = RDBStorage(str(database.engine.url), skip_compatibility_check=True)
    found = theirs.get_all_trials(study)
    known = database.get_all_trials(study)
    assert [shown(trial) for trial in found] == [shown(trial) for trial in known]
    assert theirs.get_study_system_attrs(study) == database.get_study_system_attrs(study)
    user = theirs.get_study_user_attrs(study)
    user.pop("caviar_owner", None)
    assert user == database.get_study_user_attrs(study)
    theirs.remove_session()
    theirs.engine.dispose()


def shown(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    held = {name.strip("_"): repr(value) for name, value in vars(trial).items()}
    for name in ("params", "distributions", "user_attrs", "system_attrs", "intermediate_values"):
        held[name] = repr(sorted(getattr(trial, name).items(), key=repr))
    return held


@pytest.fixture
def database(tmp_path: Path):
    made = Database(f"sqlite:///{tmp_path / 'study.db'}", patience=5.0)
    made._is_file = False  # as one of a server, whose connection may be lost
    yield made
    made.close()


turns = st.lists(st.lists(st.tuples(steps, st.integers(0, 5)), max_size=6), max_size=5)


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    """A database file with the tables, and a trial of somebody else's study: ids are not numbers."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'study.db'}"
    theirs = RDBStorage(url)
    theirs.create_new_trial(theirs.create_new_study([StudyDirection.MINIMIZE], "another"))
    theirs.remove_session()
    theirs.engine.dispose()
    return url


names = map(str, count())


def quick(url: str) -> Database:
    """A database that does not wait for the disk."""
    database = Database(url, patience=0.0)
    listen(
        database.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=OFF").close()
    )
    database.engine.dispose()
    return database


@given(turns=turns)
@settings(max_examples=25, deadline=None)
def test_whatever_is_written_in_whatever_turns_optuna_reads_it_and_a_later_process_goes_on(
    url, turns
):
    name = next(names)
    database = quick(url)
    study = database.create_new_study([StudyDirection.MINIMIZE], name)
    for number, turn in enumerate(turns):
        if number == 2:  # a later process
            database.close()
            database = quick(url)
            assert database.get_study_id_from_name(name) == study
        with database.batch():
            for step, chosen in turn:
                take(database, study, step, chosen)
        assert_written(database, study)
    database.close()


def commits(database: Database) -> list[str]:
    seen: list[str] = []
    listen(database.engine, "commit", lambda connection: seen.append("commit"))
    return seen


def test_a_turn_is_one_transaction_however_much_is_in_it(database):
    study = database.create_new_study([StudyDirection.MINIMIZE], "one")
    owner = StudyOwner(database, study)
    first = database.create_new_trial(study)
    seen = commits(database)
    with database.batch():
        database.set_trial_state_values(first, TrialState.COMPLETE, [1.0])
        for _ in range(3):
            with database.batch():
                database.set_trial_user_attr(database.create_new_trial(study), "k", 1)
    assert seen == ["commit"]
    owner.check()
    with database.batch():
        pass
    assert seen == ["commit"]  # nothing was changed, and its sign of life is young
    assert_written(database, study)


def test_nothing_is_asked_of_the_server_for_what_was_written_here(database):
    study = database.create_new_study([StudyDirection.MINIMIZE], "known")
    trial = database.create_new_trial(study)
    asked: list[str] = []
    listen(database.engine, "before_cursor_execute", lambda c, u, text, *_: asked.append(text))
    database.get_trial(trial)
    database.get_all_trials(study)
    database.get_trial_id_from_study_id_trial_number(study, 0)
    assert database.get_study_directions(study) == [StudyDirection.MINIMIZE]
    assert asked == []


LOST = OperationalError("COMMIT", {}, Exception("server closed the connection"))


@pytest.mark.parametrize("when", ["before_commit", "after_commit", "insert"])
def test_a_turn_whose_connection_is_lost_is_written_once(database, when):
    study = database.create_new_study([StudyDirection.MINIMIZE], "lost")
    StudyOwner(database, study)
    said: list[str] = []
    database.say = said.append
    first = database.create_new_trial(study)
    cuts = 1 if when == "after_commit" else 2  # then it is found to be written

    def cut(*_: Any) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            raise LOST

    with database.batch():
        database.set_trial_state_values(first, TrialState.COMPLETE, [1.0])
        second = database.create_new_trial(study)
        if when == "insert":
            listen(database.engine, "before_cursor_execute", cut)
        else:
            listen(Session, when, cut)
        third = database.create_new_trial(study)
        database.set_trial_param(third, "a", 0.25, SPACE["a"])
        database.set_trial_user_attr(second, "k", [1])
    assert cuts == 0
    assert len(said) == 2
    assert_written(database, study)
    assert len(database.server.get_all_trials(study)) == 3
    assert [database.get_trial(one).number for one in (first, second, third)] == [0, 1, 2]


def test_what_a_broken_turn_wrote_is_written_by_the_next(database):
    study = database.create_new_study([StudyDirection.MINIMIZE], "broken")

    def broken() -> None:
        with database.batch():
            database.create_new_trial(study)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert database.server.get_all_trials(study) == []
    one = database.get_trial_id_from_study_id_trial_number(study, 0)
    database.set_trial_user_attr(one, "k", 1)
    assert_written(database, study)


def test_a_database_that_stays_away_is_given_up_once(database):
    study = database.create_new_study([StudyDirection.MINIMIZE], "gone")
    database.patience = 0.3

    def cut(*_: Any) -> None:
        raise LOST

    listen(database.engine, "before_cursor_execute", cut)
    with pytest.raises(
        StorageGoneError, match=r"the database did not answer for .* s: server closed"
    ):
        database.create_new_trial(study)
    database.say = pytest.fail
    with pytest.raises(StorageGoneError):
        database.create_new_trial(study)


def test_what_a_database_does_not_take_is_told_in_its_words(database):
    study = database.create_new_study([StudyDirection.MINIMIZE], "refused")
    one = database.create_new_trial(study)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trial_user_attributes")
    with pytest.raises(optuna.exceptions.StorageInternalError, match="no such table"):
        database.set_trial_user_attr(one, "k", 1)
