"""A sweep's folder that came from somebody else: going on with it must not run their program."""

import json
import os
import pickle
from pathlib import Path

import pytest
import yaml

from caviar.errors import UsageError
from caviar.sweep.command import command_to_run, recorded_command
from tests.apps import App, make_app

EVIL = "open('/tmp/harm', 'w')"


@pytest.fixture
def app(tmp_path: Path, monkeypatch) -> App:
    """A project with a sweep in it, in which somebody works."""
    app = make_app(tmp_path / "app")
    sweep = app.folder / "outputs" / "sweeps" / "received"
    sweep.mkdir(parents=True)
    monkeypatch.chdir(app.folder)
    return app


def received(app: App, command: list[str], folder: str | Path | None = None) -> Path:
    sweep = app.folder / "outputs" / "sweeps" / "received"
    recorded = {"schema": 1, "command": command, "folder": str(folder or app.folder)}
    (sweep / "sweep.yaml").write_text(yaml.safe_dump(recorded))
    return sweep


def refused(sweep: Path) -> str:
    with pytest.raises(UsageError) as error:
        recorded_command(sweep, yaml.safe_load((sweep / "sweep.yaml").read_text()))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_projects_own_script_may_go_on(app: App):
    words = ["-m", "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.seed=1", "x=range(1, 3)"]
    sweep = received(app, ["/gone/python", "-X", "importtime", "app.py", *words])
    command = recorded_command(sweep, yaml.safe_load((sweep / "sweep.yaml").read_text()))
    assert command.program[1:] == ["app.py"]  # this Python, and nothing that it was told
    assert command.words == words


@pytest.mark.parametrize(
    "program",
    [
        ["-c", EVIL],
        ["-m", "timeit", EVIL],  # Python's own, which runs what it is told
        ["-m", "pip", "install", "evil"],
        ["-m", "no_such_module"],
        ["-m", ""],
        ["/usr/bin/env"],
        ["/gone.py"],
        [""],
        [],
    ],
)
def test_a_program_that_is_not_of_the_project_is_refused(app: App, program):
    assert str(app.folder / "outputs" / "sweeps" / "received") in refused(
        received(app, ["python", *program])
    )


@pytest.mark.parametrize(
    "place",
    ["outputs/sweeps/received/evil.py", "outputs/sweeps/evil.py", "../evil.py"],
)
def test_a_script_that_came_with_the_folder_or_lies_elsewhere_is_refused(app: App, place):
    (app.folder / place).write_text(EVIL)
    assert "no part of the project here" in refused(received(app, ["python", place]))


def test_a_module_that_came_with_the_folder_is_refused(app: App):
    sweep = app.folder / "outputs" / "sweeps" / "received"
    (sweep / "evil.py").write_text(EVIL)
    told = refused(received(app, ["python", "-m", "evil"], folder=sweep))
    assert "no part of the project here" in told


def test_a_folder_outside_the_project_is_refused_and_said_where_to_go(app: App, tmp_path: Path):
    other = make_app(tmp_path / "other")
    told = refused(received(app, ["python", "app.py"], folder=other.folder))
    assert f"started in {other.folder}, outside the project here ({app.folder}); go there" in told


@pytest.mark.parametrize(
    "word",
    [
        "--config-dir=/somewhere",
        "--config-path=conf2",
        "--experimental-rerun=x.pickle",
        "+allow=[evil.]",
        "++allow.0=evil.",
        "hydra.searchpath=[file:///somewhere]",
        "hydra.sweeper._target_=os.system",
        "+hydra.callbacks.x._target_=os.system",
        "hydra/job_logging=evil",
        "hydra.job.env_set.LD_PRELOAD=evil.so",
        "+model._target_=os.system",
        "x=../outputs/sweeps/received/evil",
        "hydra.sweeper={_target_: os.system}",
    ],
)
def test_an_argument_that_reaches_code_or_configs_elsewhere_is_refused(app: App, word):
    told = refused(received(app, ["python", "app.py", "-m", word]))
    assert f"its command says {word}" in told


@pytest.mark.parametrize("gone", ["app.py", "folder"])
def test_what_is_gone_is_not_to_be_trusted_back(app: App, gone: str):
    sweep = received(app, ["python", "gone.py"], app.folder if gone == "app.py" else "/gone")
    recorded = yaml.safe_load((sweep / "sweep.yaml").read_text())
    with pytest.raises(UsageError) as error:
        command_to_run(sweep, recorded, "resume", False)
    assert "gone" in str(error.value)
    assert "--trust" not in str(error.value)


def test_a_config_name_is_an_argument_of_the_project(app: App):
    for words in (["-cn", "config"], ["--config-name=config"]):
        sweep = received(app, ["python", "app.py", "-m", *words])
        recorded_command(sweep, yaml.safe_load((sweep / "sweep.yaml").read_text()))
    assert "../x" in refused(received(app, ["python", "app.py", "--config-name", "../x"]))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_folder_is_refused(app: App):
    sweep = received(app, ["python", "app.py"])
    os.chown(sweep / "sweep.yaml", 65534, -1)
    assert "sweep.yaml: it belongs to user" in refused(sweep)


def test_a_folder_that_anybody_may_write_is_refused(app: App):
    sweep = received(app, ["python", "app.py"])
    sweep.chmod(0o777)
    assert "anybody may write it" in refused(sweep)


def test_a_link_that_leads_out_of_the_folder_is_refused(app: App, tmp_path: Path):
    (tmp_path / "diary").touch()
    sweep = received(app, ["python", "app.py"])
    (sweep / "study.journal").symlink_to(tmp_path / "diary")
    assert "study.journal: a link" in refused(sweep)


def test_the_command_says_what_it_runs_and_refuses_in_one_line(tmp_path: Path):
    app = make_app(tmp_path / "app")
    app.sweep()
    done = app.resume("n_trials=5")
    assert done.status == 0, done.out + done.err
    assert f"in {app.folder}: python app.py -m\n" in done.out
    settings = app.settings()
    harm = tmp_path / "harm"
    settings["command"] = ["python", "-c", f"open({str(harm)!r}, 'w')"]
    (app.folder / "sweep" / "sweep.yaml").write_text(yaml.safe_dump(settings))
    done = app.resume()
    assert (done.status, done.err.count("\n"), harm.exists()) == (2, 1, False)
    assert f"caviar resume {app.folder}/sweep --trust" in done.err
    done = app.resume("--trust")
    assert (done.status, harm.exists()) == (0, True), done.err


class Harm:
    """Unpickled, it makes a folder."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self):
        return os.mkdir, (str(self.where),)


def test_a_pickle_in_a_study_is_not_loaded_unless_it_is_an_optimizers(tmp_path: Path):
    app = make_app(tmp_path / "app")
    config = app.folder / "conf" / "config.yaml"
    config.write_text(
        config.read_text()
        .replace("caviar\n", "caviar\n  - override hydra/sweeper/sampler: cmaes\n", 1)
        .replace("x: interval(-5, 5)", "x: interval(-5, 5)\n      y: interval(0, 1)")
    )
    assert app.sweep("hydra.sweeper.n_trials=12").status == 0
    honest = app.resume("n_trials=14")
    assert honest.status == 0, honest.out + honest.err
    journal = app.folder / "sweep" / "study.journal"
    assert "cma:optimizer:0" in journal.read_text(), "there was a pickle to look at"
    text = pickle.dumps(Harm(tmp_path / "harm")).hex()
    log = {"op_code": 9, "worker_id": "x", "trial_id": 0}
    log["system_attr"] = {"cma:optimizer:0": text}
    lines = journal.read_text().splitlines()
    # Told before the trial ended, as a journal has it.
    at = next(i for i, line in enumerate(lines) if '"op_code":6' in line)
    journal.write_text("\n".join([*lines[:at], json.dumps(log), *lines[at:]]) + "\n")
    done = app.resume("n_trials=16")
    assert not (tmp_path / "harm").exists()
    assert (done.status, done.err.count("\n")) == (2, 1), done.out + done.err
    assert "keeps a pickle that is no optimizer's: it names posix.mkdir" in done.err
