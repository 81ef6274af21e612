"""Storage: a real PostgreSQL server, and optuna-dashboard, open what a sweep wrote."""

import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from caviar.base.errors import UsageError
from caviar.sweep.database import Database
from caviar.sweep.study_owner import StudyOwner, StudyTakenError
from tests.apps import App, make_app
from tests.sockets import free_port
from tests.waiting import until

BINARIES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))  # where Debian puts them
DASHBOARD = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))


class Postgres:
    """A server of its own, on a free port of 127.0.0.1, that can be stopped and started again.

    Its files are in no folder of pytest's: each pytest that begins takes from every other user the
    right to enter those of all the others that are running.
    """

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._binaries = binaries
        self._data, self._log = folder / "data", folder / "log.txt"
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._options = {"cwd": folder, "stderr": subprocess.STDOUT}
        if os.geteuid() == 0:  # as which it refuses to run; CI does
            shutil.chown(folder, "postgres", "postgres")
            self._options |= {"user": "postgres", "group": "postgres"}
        init = [binaries / "initdb", "-D", self._data, "-U", "caviar", "-A", "trust", "--no-sync"]
        with self._log.open("w") as out:
            subprocess.run(init, check=True, stdout=out, **self._options)
        self.url = f"postgresql+psycopg://caviar:a-secret@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it, unless it is running, and wait until it answers."""
        if self._server is not None and self._server.poll() is None:
            return
        where = ("-D", self._data, "-h", "127.0.0.1", "-p", str(self._port), "-c", "fsync=off")
        line = [self._binaries / "postgres", *where, "-k", ""]
        ready = [self._binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(self._port)]
        with self._log.open("a") as out:
            server = self._server = subprocess.Popen(line, stdout=out, **self._options)

        def answers() -> bool:
            assert server.poll() is None, self._log.read_text()[-4000:]
            return subprocess.run(ready, capture_output=True, check=False).returncode == 0

        until(answers, "PostgreSQL answers")

    def stop(self) -> None:
        """Stop it as a machine that is shut down does: its clients are cut off."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            assert self._server.wait(60) == 0, self._log.read_text()[-4000:]


@pytest.fixture(scope="module")
def installed() -> Iterator[Postgres]:
    initdb = shutil.which("initdb", path=os.pathsep.join([*BINARIES, os.environ["PATH"]]))
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="caviar-postgres-") as folder:
        # Wherever a link to it lies, the programs are together.
        server = Postgres(Path(folder), Path(initdb).resolve().parent)
        yield server
        server.stop()


@pytest.fixture
def server(installed: Postgres) -> Postgres:
    """The module's, which answers, whatever the test before has done."""
    installed.start()
    return installed


@pytest.fixture
def postgres(server: Postgres) -> str:
    return server.url


def test_a_sweep_may_keep_its_study_in_postgresql_and_be_resumed_from_there(tmp_path, postgres):
    import optuna

    app = make_app(tmp_path / "app")
    config = app.folder / "conf" / "config.yaml"
    text = config.read_text().replace("n_trials: 4", "n_trials: 4\n    storage: ${oc.env:STORAGE}")
    config.write_text(text)
    os.environ["STORAGE"] = postgres
    try:
        done = app.sweep("hydra.sweep.dir=shared")
        assert done.status == 0, done.out + done.err
        resumed = app.resume("n_trials=7", name="shared")
        assert resumed.status == 0, resumed.out + resumed.err
    finally:
        del os.environ["STORAGE"]
    assert len(app.results("shared")) == 7
    storage = optuna.storages.RDBStorage(postgres)
    study = optuna.load_study(study_name="shared", storage=storage)
    assert [trial.value for trial in study.trials] == [r["value"] for r in app.results("shared")]
    storage.remove_session()
    storage.engine.dispose()  # or its connections warn, whenever they are collected
    assert not (app.folder / "shared" / "study.journal").exists()
    written = b"".join(f.read_bytes() for f in (app.folder / "shared").rglob("*") if f.is_file())
    assert b"a-secret" not in written
    taken = app.sweep("hydra.sweep.dir=elsewhere/shared", env={"STORAGE": postgres})
    assert taken.status == 2
    assert "there is a study 'shared' already" in taken.err
    assert taken.err.count("\n") == 1
    assert '"shared"' in studies_served(postgres)


def test_a_password_on_the_command_line_is_written_nowhere_and_given_anew_to_resume(
    tmp_path, postgres
):
    app = make_app(tmp_path / "app")
    done = app.sweep(f"hydra.sweeper.storage='{postgres}'", "hydra.sweep.dir=typed")
    assert done.status == 0, done.out + done.err
    written = b"".join(f.read_bytes() for f in (app.folder / "typed").rglob("*") if f.is_file())
    assert b"a-secret" not in written
    (app.folder / "typed").rename(app.folder / "renamed")
    refused = app.resume("n_trials=6", name="renamed")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "the password is not kept; resume with storage=URL" in refused.err
    resumed = app.resume("n_trials=6", f"storage={postgres}", name="renamed")
    assert resumed.status == 0, resumed.out + resumed.err
    assert len(app.results("renamed")) == 6


def test_a_storage_that_does_not_answer_is_told_in_one_line(tmp_path):
    app = make_app(tmp_path / "app")
    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/x"
    done = app.sweep(f"hydra.sweeper.storage='{url}'")
    assert done.status == 2, done.out + done.err
    assert done.err.startswith("error: hydra.sweeper.storage=")
    assert done.err.count("\n") == 1
    assert not (app.folder / "sweep").exists()


# Trials wait for a file, and note that they were done; they can be interrupted.
GATED = """
import hydra, time
from pathlib import Path
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    step, end = 0, time.monotonic() + 120
    while not Path(f"go-{int(config.x > 0)}").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
        caviar.stop_if_asked(step)
        step += 1
    with open("done.txt", "a") as file:
        file.write(f"{config.x!r}\\n")
    return config.x

if __name__ == "__main__":
    main()
"""
ONE_ON_EITHER_SIDE = ("hydra.sweeper.sampler.seed=1", "hydra.sweeper.executor.workers=2")


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin sweeps of two workers, whose first two trials have begun; none outlives its test."""
    begun: list[subprocess.Popen[str]] = []

    def start(app: App, url: str, name: str, *words: str) -> subprocess.Popen[str]:
        process = app.start(
            f"hydra.sweeper.storage='{url}'", f"hydra.sweep.dir={name}", *ONE_ON_EITHER_SIDE, *words
        )
        begun.append(process)
        trials = app.folder / name / "trials"
        until(
            lambda: process.poll() is not None or len(list(trials.glob("*/result.json"))) >= 2, name
        )
        assert process.poll() is None, app.out
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait(60)


def done(app) -> list[str]:
    file = app.folder / "done.txt"
    return file.read_text().split() if file.exists() else []


def states(url: str, name: str) -> list[str]:
    storage = RDBStorage(url)
    found = [
        trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials
    ]
    storage.remove_session()
    storage.engine.dispose()
    return found


def test_a_database_that_is_restarted_in_mid_sweep_is_waited_for(
    tmp_path, server: Postgres, started
):
    app = make_app(tmp_path / "app", GATED)
    process = started(app, server.url, "restarted", "hydra.sweeper.n_trials=6")
    server.stop()
    for gate in ("go-0", "go-1"):
        (app.folder / gate).touch()
    until(lambda: "the database does not answer" in app.out, "it is missed")
    server.start()
    assert process.wait(90) == 0, app.out
    assert app.out.count("the database answers again") == 1
    assert states(server.url, "restarted") == ["COMPLETE"] * 6
    assert len(done(app)) == len(set(done(app))) == 6


@pytest.mark.parametrize("how", ["timeout", "signal"])
def test_a_database_that_stays_away_stops_the_sweep_and_a_resume_repeats_nothing(
    tmp_path, server: Postgres, started, how: str
):
    app = make_app(tmp_path / "app", GATED)
    seconds = "2" if how == "timeout" else "600"
    words = ("hydra.sweeper.n_trials=6", f"hydra.sweeper.storage_timeout={seconds}")
    process = started(app, server.url, how, *words)
    server.stop()
    try:
        # One of the two ends, and cannot be told; the other one is under way.
        (app.folder / "go-1").touch()
        until(lambda: "the database does not answer" in app.out, "it is missed")
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == (75 if how == "timeout" else 143), app.out
    finally:
        server.start()
    assert "Traceback" not in app.out
    assert "invalid data" not in app.out
    assert "the database did not answer for" in app.out
    assert f"caviar resume {app.folder / how}" in app.out
    assert states(server.url, how).count("FAIL") == 0
    (app.folder / "go-0").touch()
    resumed = app.resume(f"storage={server.url}", name=how)
    assert resumed.status == 0, resumed.out + resumed.err
    assert states(server.url, how).count("COMPLETE") == 6
    assert len(done(app)) == len(set(done(app))) == 6


def test_of_two_controllers_on_one_study_the_second_is_refused_however_it_came_by_it(
    tmp_path, postgres, started
):
    app = make_app(tmp_path / "app", GATED)
    process = started(app, postgres, "owned", "hydra.sweeper.n_trials=4")
    shutil.copytree(app.folder / "owned", app.folder / "copy")
    second = app.resume(f"storage={postgres}", "--trust", name="copy")
    assert second.status == 2, second.out
    assert second.err.startswith(f"error: storage: process {process.pid} on ")
    assert second.err.count("\n") == 1
    for gate in ("go-0", "go-1"):
        (app.folder / gate).touch()
    assert process.wait(60) == 0, app.out
    assert states(postgres, "owned") == ["COMPLETE"] * 4
    assert len(done(app)) == len(set(done(app))) == 4


def test_a_controller_whose_study_was_taken_over_tells_it_nothing_more(tmp_path, postgres):
    database = Database(postgres, patience=0.0)
    study_id = database.create_new_study([StudyDirection.MINIMIZE], "taken")
    first = StudyOwner(database, study_id)
    first.check()
    again = Database(postgres, patience=0.0)
    with pytest.raises(UsageError, match=f"process {os.getpid()} on .* is running this study"):
        StudyOwner(again, study_id)
    other = {"token": "x", "host": "elsewhere", "pid": 1, "beat": 0.0}  # silent for long
    database.server.set_study_user_attr(study_id, "caviar_owner", other)
    second = StudyOwner(again, again.get_study_id_from_name("taken"))
    with pytest.raises(StudyTakenError, match="has taken it over"):
        database.create_new_trial(study_id)
    first.release()
    assert again.get_trial(again.create_new_trial(study_id)).number == 0
    second.release()
    StudyOwner(again, study_id)
    database.close()
    again.close()


def test_optuna_dashboard_opens_the_journal(tmp_path):
    app = make_app(tmp_path / "app")
    app.sweep()
    assert '"sweep"' in studies_served(str(app.folder / "sweep" / "study.journal"))


def studies_served(storage: str) -> str:
    """The studies that optuna-dashboard, started on a storage, gives to its page."""
    assert DASHBOARD
    port = free_port()
    server = subprocess.Popen(
        [DASHBOARD, storage, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answer() -> str:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10) as page:
                return page.read().decode()
        except OSError:
            return ""

    try:
        return until(answer, "the dashboard answers")
    finally:
        server.terminate()
        server.wait(30)
