"""Storage: a real PostgreSQL server, and optuna-dashboard, open what a sweep wrote."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps import make_app
from tests.waiting import until

BINARIES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))  # where Debian puts them
DASHBOARD = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[str]:
    """A server of its own, on a free port of 127.0.0.1; gives its URL."""
    initdb = shutil.which("initdb", path=os.pathsep.join([*BINARIES, os.environ["PATH"]]))
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    port = free_port()
    # The server refuses to run as root, as CI does.
    root = os.geteuid() == 0
    user = {"user": "postgres", "group": "postgres"} if root else {}
    if root:
        for parent in [folder, *folder.parents]:
            if parent == Path("/"):
                break
            if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o777 == 0o700:
                parent.chmod(0o711)
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **user}
    subprocess.run(
        [initdb, "-D", data, "-U", "caviar", "-A", "trust", "--no-sync"], check=True, **quiet
    )
    server = subprocess.Popen(
        [
            Path(initdb).with_name("postgres"),
            *("-D", data, "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off", "-k", ""),
        ],
        **quiet,
    )
    ready = [Path(initdb).with_name("pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    until(
        lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
        "PostgreSQL answers",
    )
    yield f"postgresql+psycopg://caviar:a-secret@127.0.0.1:{port}/postgres"
    server.send_signal(signal.SIGINT)  # ends its clients too
    server.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
