"""Claims about ``.env``: what it sets is set, for a run and for a sweep's trials, and written nowhere."""

from pathlib import Path

import pytest

from tests.apps import CONFIG, GUARD, App, make_app

CODE = """
import os
import caviar

@caviar.main(config_path="conf", config_name="config")
def main(config):
    print("token", config.token, os.environ["TOKEN"])
    return config.x
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path / "app", CODE + GUARD, CONFIG + "token: ${oc.env:TOKEN}\n")


@pytest.mark.fast
def test_what_stands_in_it_reaches_every_trial_and_no_config(app: App) -> None:
    (app.folder / ".env").write_text("# mine\nexport TOKEN='a b'\n")
    done = app.sweep("hydra.sweeper.n_trials=1")
    assert done.status == 0, done.err
    trial = app.folder / "sweep" / "trials" / "0000"
    assert "token a b a b" in (trial / "log.txt").read_text()
    assert "a b" not in (trial / "config.yaml").read_text()


def test_the_environment_has_the_last_word(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    (app.folder / ".env").write_text("TOKEN=file\n")
    monkeypatch.setenv("TOKEN", "shell")
    app.sweep("hydra.sweeper.n_trials=1")
    log = app.folder / "sweep" / "trials" / "0000" / "log.txt"
    assert "token shell shell" in log.read_text()


def test_one_in_the_current_folder_is_not_read(app: App, tmp_path: Path) -> None:
    elsewhere = tmp_path / "received"
    elsewhere.mkdir()
    (elsewhere / ".env").write_text("TOKEN=theirs\n")
    done = app.run("hydra.run.dir=run", cwd=elsewhere)
    assert done.status == 2
    assert "TOKEN" in done.err
    assert "theirs" not in done.err + done.out


def test_one_that_is_no_text_is_told_in_one_line(app: App) -> None:
    (app.folder / ".env").write_bytes(b"TOKEN=\xff\n")
    done = app.run()
    assert done.status == 2
    assert done.err.startswith(f"error: {app.folder / '.env'}: ")
    assert done.err.count("\n") == 1
