"""The journal survives whatever happens to its file."""

import json
import multiprocessing
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from caviar.sweep.journal import Journal
from caviar.sweep.samplers import RandomSampler
from caviar.sweep.study import SweepStudy
from tests.contracts.samplers import ask_and_tell, mixed_space


def open_study(path: Path, resume=None) -> SweepStudy:
    return SweepStudy(
        mixed_space(), RandomSampler(0), ["minimize"], Journal(path), "study", resume=resume
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("journal") / "study.journal"
    ask_and_tell(open_study(path), 6)
    return path.read_bytes()


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_survives_any_cut(whole: bytes, tmp_path: Path, data):
    path = tmp_path / "study.journal"
    first = whole.index(b"\n") + 1  # with less there is no study yet
    cut = data.draw(st.integers(first, len(whole)))
    path.write_bytes(whole[:cut])
    study = open_study(path, resume=lambda number: None)
    kept = path.read_bytes()
    complete_lines = whole[:cut].rpartition(b"\n")[0] + b"\n"
    assert kept.startswith(complete_lines)
    ended = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    told = [
        line
        for line in complete_lines.splitlines()
        if json.loads(line)["op_code"] == 6 and json.loads(line)["state"] == 1
    ]
    assert len(ended) == len(told)
    rest = ask_and_tell(study, 6 - study.places)
    assert len(rest) == 6 - len(ended)
    # Any Optuna tool reads what is there now.
    storage = JournalStorage(JournalFileBackend(str(path)))
    assert len(optuna.load_study(study_name="study", storage=storage).trials) >= 6
    path.unlink()


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "study.journal"
    study = open_study(path)
    before = path.read_bytes()

    class CannotError(Exception):
        pass

    def fail_midway() -> None:
        with study.one_write():
            study.ask()
            study.ask()
            assert path.read_bytes() == before
            raise CannotError

    with pytest.raises(CannotError):
        fail_midway()
    assert path.read_bytes() == before


def append(path: str, n: int) -> None:
    journal = Journal(Path(path))
    for _ in range(n):
        journal.append_logs([{"op_code": 99, "text": "x" * 500}] * 3)


def test_several_processes_append_whole_lines(tmp_path: Path):
    path = tmp_path / "study.journal"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append, args=(str(path), 30)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    lines = path.read_bytes().splitlines()
    assert len(lines) == 270
    assert all(json.loads(line)["op_code"] == 99 for line in lines)
