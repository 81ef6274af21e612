"""The journal survives whatever happens to its file."""

import json
import multiprocessing
import os
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
from tests.apps import GUARD, QUADRATIC, make_app
from tests.contracts.samplers import ask_and_tell, mixed_space

pytestmark = pytest.mark.fast


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
        with study.store.batch():
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


SLOW_DISK = """
import os, time
from pathlib import Path

fsync = os.fsync
CREATED = '"op_code":4'

def waits_for_a_trial(file):
    # The disk has a journal with a trial in it only after that trial has begun.
    path = Path(os.readlink(f"/proc/self/fd/{file}"))
    if path.name == "study.journal" and CREATED in path.read_text():
        deadline = time.monotonic() + 30
        while not Path("began").exists():
            assert time.monotonic() < deadline, "no trial began before the disk had the journal"
            time.sleep(0.001)
        with open("synced", "a") as log:
            log.write(f"{path.stat().st_size}\\n")
    fsync(file)

os.fsync = waits_for_a_trial

def begin():
    Path("began").touch()
    with open("seen", "a") as log:
        log.write(f"{Path('sweep/study.journal').read_text().count(CREATED)}\\n")
"""


def test_a_trial_runs_once_the_journal_has_it_and_waits_for_no_disk(tmp_path: Path):
    task = QUADRATIC.replace("return", "begin()\n    return")
    app = make_app(tmp_path / "app", SLOW_DISK + task + GUARD)
    done = app.sweep("hydra.sweeper.n_trials=6", "hydra.sweeper.executor.workers=1")
    assert done.status == 0, done.out
    seen = [int(line) for line in (app.folder / "seen").read_text().split()]
    assert all(entries > number for number, entries in enumerate(seen)), seen
    synced = [int(line) for line in (app.folder / "synced").read_text().split()]
    assert synced[-1] == (app.folder / "sweep/study.journal").stat().st_size


def test_a_batch_is_synced_once_when_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study = open_study(tmp_path / "study.journal")
    fsync, synced = os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), fsync(file)))
    with study.store.batch():
        study.ask()
        study.ask()
    assert synced == []
    study.store.sync()
    study.store.sync()
    assert len(synced) == 1
