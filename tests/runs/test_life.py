"""The life of a run: what its result.json says at its end, and what its controller gets, agree."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from caviar import TrialInterrupted
from caviar.base.messages import Failed, Finished, Pruned
from caviar.runs.folder import LOG, Result
from caviar.runs.life import End, Life, end_of, give_up

pytestmark = pytest.mark.fast

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """A trial's that has begun."""
    life = Life(tmp_path / "0007", Result("RUNNING", 7, facts={"engine": "solo"}))
    life.folder.mkdir()
    life.begin()
    life.facts["best_epoch"] = 3
    life.facts["colour"] = "red"
    return life


def ends(life: Life) -> list[End]:
    return [
        life.complete(0.5),
        life.complete([0.5, 2.0]),
        life.pruned(0.25),
        life.failed(KeyError("x")),
    ]


def test_what_stands_in_the_file_is_what_the_controller_gets(life: Life):
    for end in ends(life):
        event = end.written(life.write)
        assert event is end.event
        read = end_of(life.folder, 7)
        assert type(read) is type(event)
        assert read is not None
        assert read.seconds == pytest.approx(event.seconds, abs=0.1)
        if isinstance(event, Finished) and isinstance(read, Finished):
            assert read.values == event.values
        if isinstance(event, Pruned) and isinstance(read, Pruned):
            assert read.value == event.value
        if isinstance(event, Failed) and isinstance(read, Failed):
            assert read.error == event.error == "KeyError: 'x'"


def test_recorded_facts_go_into_their_fields_and_all_of_them_to_the_controller(life: Life):
    end = life.complete(0.5)
    assert (end.result.best_epoch, end.result.facts) == (3, {"engine": "solo", "colour": "red"})
    assert isinstance(end.event, Finished)
    assert end.event.facts == {"engine": "solo", "best_epoch": 3, "colour": "red"}


def test_a_score_is_what_the_task_returned_whatever_it_recorded(life: Life):
    life.facts["value"] = 9.0
    assert life.complete(0.5).result.value == 0.5


def test_an_end_leaves_the_running_result_as_it_is_on_its_way_to_the_disk(life: Life):
    for _ in ends(life):
        assert (life.result.state, life.result.facts) == ("RUNNING", {"engine": "solo"})


def test_a_disk_without_room_for_the_end_is_a_failure_that_no_other_trial_would_escape(life: Life):
    def full(result: Result) -> None:
        raise FULL

    for end in ends(life):
        event = end.written(full)
        assert isinstance(event, Failed)
        assert (event.hopeless, event.interrupted, event.number) == (True, False, 7)


@pytest.mark.parametrize("error", [RuntimeError("a child was killed"), KeyboardInterrupt()])
def test_an_error_of_a_run_that_was_told_to_stop_is_no_failure(life: Life, error: BaseException):
    for stopped in (life.failed(error, stopped=True), life.failed(TrialInterrupted("at step 3"))):
        assert isinstance(stopped.event, Failed)
        assert stopped.event.interrupted
        stopped.written(life.write)
        assert end_of(life.folder, 7) is None  # it is gone on with


def test_a_full_disk_is_one_in_a_run_that_was_told_to_stop_too(life: Life):
    event = life.failed(FULL, stopped=True).event
    assert isinstance(event, Failed)
    assert (event.hopeless, event.interrupted) == (True, False)


def test_giving_up_writes_the_end_of_a_trial_whose_worker_was_lost_and_of_no_other(life: Life):
    lost = Failed(7, "WorkerLost: signal SIGKILL", seconds=1.5)
    life.write(life.result)
    give_up(life.folder, lost)
    result = Result.read(life.folder)
    assert (result.state, result.error, result.seconds) == ("FAIL", lost.error, 1.5)
    assert result.facts == {"engine": "solo"}
    assert (life.folder / LOG).read_text() == f"{lost.error}\n"

    life.complete(0.5).written(life.write)
    give_up(life.folder, lost)
    assert Result.read(life.folder).state == "COMPLETE"

    life.failed(TrialInterrupted("at step 3")).written(life.write)
    give_up(life.folder, lost)
    assert Result.read(life.folder).error == lost.error


def test_giving_up_makes_the_folder_of_a_trial_that_never_had_one(tmp_path: Path):
    give_up(tmp_path / "0009", Failed(9, "WorkerLost: signal SIGKILL"))
    assert Result.read(tmp_path / "0009").number == 9
