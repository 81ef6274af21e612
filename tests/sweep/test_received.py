"""A folder that came from somebody else: to go on with it runs nothing, and writes nowhere else."""

import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml

from caviar.base.errors import UsageError
from caviar.confirm.confirm import confirm
from caviar.panda.again import go_on
from caviar.panda.replay import replay
from caviar.runs import ours
from caviar.runs.folder import Result
from caviar.runs.ours import MADE, check_ours, is_signed, mark
from caviar.sweep import resume
from caviar.sweep.pickles import load_no_pickles
from caviar.sweep.record import command_to_run
from tests.apps import App, make_app
from tests.made_up import SPACE, make_sweep


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep that this user's caviar made, and nothing that could be started in a test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").touch()
    command = {"command": ["python", "app.py", "-m", "+allow=[mine.]"], "folder": str(tmp_path)}
    folder = make_sweep(tmp_path / "outputs/sweeps/mine", settings=command)
    mark(folder, {"sweep.yaml": (folder / "sweep.yaml").read_text()})

    def started(*words: object, **_: object) -> None:
        raise AssertionError(f"started: {words}")

    for name in ("os.execv", "subprocess.run", "subprocess.Popen"):
        monkeypatch.setattr(name, started)
    return folder


def recorded(folder: Path) -> dict:
    return yaml.safe_load((folder / "sweep.yaml").read_text())


def test_what_caviar_made_here_goes_on_as_it_was_started(sweep: Path):
    command = command_to_run(sweep, recorded(sweep), "resume", False)
    assert command.program[1:] == ["app.py"]
    assert command.words == ["-m", "+allow=[mine.]"]  # the user's own words, whatever they are
    moved = sweep.rename(sweep.with_name("moved"))
    check_ours(moved)
    (moved.parent / "link").symlink_to(moved)  # the user's own way to it
    check_ours(moved.parent / "link")


def test_a_kill_between_the_signature_and_the_file_leaves_it_ours(sweep: Path):
    before = (sweep / "sweep.yaml").read_text()
    mark(sweep, {"sweep.yaml": f"{before}n_trials: 9\n"})
    check_ours(sweep)
    (sweep / "sweep.yaml").write_text(f"{before}n_trials: 9\n")
    check_ours(sweep)


def test_a_link_that_stays_inside_is_nothing(sweep: Path):
    (sweep / "latest").symlink_to("trials/0001")
    check_ours(sweep)


def change(folder: Path, /, **settings: object) -> Path:
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**recorded(folder), **settings}))
    return folder


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("copy")))


def unpacked(folder: Path) -> Path:
    with tarfile.open(folder.with_name("sent.tar"), "w") as archive:
        archive.add(folder, "sent")
    with tarfile.open(folder.with_name("sent.tar")) as archive:
        # Python 3.11.0 to 3.11.3 know no filters, 3.12 warns where none is named.
        named = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder.parent, **named)
    return folder.with_name("sent")


def unsigned(folder: Path) -> Path:
    (folder / MADE).unlink()
    return folder


def resigned(folder: Path, **changes: object) -> Path:
    made = json.loads((folder / MADE).read_text())
    (folder / MADE).write_text(json.dumps({**made, **changes}))
    return folder


def of_a_run(folder: Path) -> Path:
    """A run of the user's, with a sweep unpacked over it."""
    (folder / MADE).unlink()
    mark(folder, {"log.txt": ""})
    (folder / "log.txt").touch()
    return folder


def linked(folder: Path, where: str) -> Path:
    place = folder / where
    if place.is_dir():
        shutil.move(place, folder.parent / "elsewhere")
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(folder.parent / "elsewhere")
    return folder


def open_to(folder: Path, mode: int, path: str = ".") -> Path:
    (folder / path).chmod(mode)
    return folder


def given_away(folder: Path, path: str = ".", uid: int = 65534, gid: int = -1) -> Path:
    os.chown(folder / path, uid, gid)
    return folder


root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")

RECEIVED: dict[str, Callable[[Path], Path]] = {
    "a copy": copied,
    "an archive": unpacked,
    "another command": lambda f: change(f, command=["python", "-c", "open('/tmp/harm', 'w')"]),
    "other overrides": lambda f: change(f, overrides=["--config-dir=/tmp/evil"]),
    "another space": lambda f: change(f, space={**SPACE, "allow": "choice(torch.)"}),
    "no signature": unsigned,
    "another's signature": lambda f: resigned(f, signature="0" * 64),
    "a signature that covers nothing": lambda f: resigned(f, files={}),
    "no text": lambda f: resigned(f, signature=None),
    "sweep.yaml that anybody may write": lambda f: open_to(f, 0o666, "sweep.yaml"),
    "a folder that anybody may write": lambda f: open_to(f, 0o777),
    "a folder above that anybody may write": lambda f: open_to(f, 0o777, ".."),
    "a sweep in a run's folder": of_a_run,
    "the signature, a link": lambda f: linked(f, MADE),
}
IF_ROOT = {
    "somebody else's folder": given_away,
    "somebody else's sweep.yaml": lambda f: given_away(f, "sweep.yaml"),
    "a group's folder": lambda f: open_to(given_away(f, uid=0, gid=65534), 0o775),
}
LINKS = {
    where: lambda f, where=where: linked(f, where)
    for where in ("study.journal", "trials", "trials/0003", "trials/0003/checkpoints", "log.txt")
}
VERBS: dict[str, Callable[[Path], object]] = {
    "resume": resume.to_resume,
    "confirm": lambda folder: confirm(folder, 2, 2),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "make",
    [*RECEIVED.values(), *(pytest.param(make, marks=root) for make in IF_ROOT.values())],
    ids=[*RECEIVED, *IF_ROOT],
)
def test_what_is_not_ours_runs_nothing(sweep: Path, verb: str, make):
    folder = make(sweep)
    with pytest.raises(UsageError) as error:
        VERBS[verb](folder)
    assert "\n" not in str(error.value)
    assert f"caviar {verb} " in str(error.value)
    assert str(error.value).endswith("--trust)")
    assert not is_signed(folder, "sweep.yaml")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("make", LINKS.values(), ids=LINKS)
def test_a_link_that_leads_out_of_a_folder_is_refused(sweep: Path, verb: str, make):
    (sweep.parent / "elsewhere").mkdir(exist_ok=True) if make is LINKS["log.txt"] else None
    with pytest.raises(UsageError, match=r"a link, which (leads|may lead) out|no such|complete"):
        VERBS[verb](make(sweep))


def test_a_sticky_folder_above_is_no_danger_and_neither_is_a_group_of_ones_own(sweep: Path):
    sweep.parent.chmod(0o1777)
    sweep.chmod(0o775)
    os.chown(sweep, -1, os.getegid())
    if os.geteuid() == 0:
        check_ours(sweep)


@pytest.mark.parametrize(
    "harm",
    [lambda key: key.chmod(0o644), lambda key: key.write_bytes(b""), lambda key: key.unlink()],
)
def test_a_key_that_others_may_know_signs_nothing(sweep: Path, tmp_path, monkeypatch, harm):
    monkeypatch.setenv("CAVIAR_STATE", str(tmp_path / "state"))
    mark(sweep, {"sweep.yaml": (sweep / "sweep.yaml").read_text()})
    check_ours(sweep)
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    harm(tmp_path / "state" / "key")
    assert not is_signed(sweep)


def test_where_there_can_be_no_key_a_sweep_is_made_all_the_same(sweep: Path, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CAVIAR_STATE", str(tmp_path / "file" / "state"))
    before = (sweep / MADE).read_text()
    mark(sweep, {"sweep.yaml": "x"})
    assert (sweep / MADE).read_text() == before


def test_a_signature_is_of_all_that_it_says():
    made = {"folder": "/a", "inode": 1, "files": {"x": ["y"]}, "started": {"module": "a"}}
    signature = ours._signature(made, b"key")
    for name in made:
        assert ours._signature({**made, name: None}, b"key") != signature
    assert ours._signature(made, b"other") != signature


@pytest.mark.parametrize("place", ["app.py", "folder"])
def test_what_is_gone_is_told(sweep: Path, place: str):
    settings = {"command": ["python", "gone.py"]} if place == "app.py" else {"folder": "/gone"}
    change(sweep, **settings)
    mark(sweep, {"sweep.yaml": (sweep / "sweep.yaml").read_text()})
    with pytest.raises(UsageError, match="gone"):
        command_to_run(sweep, recorded(sweep), "resume", False)


# ---- confirm


@pytest.mark.parametrize(
    "params",
    [
        {"model.activation": "${oc.env:HOME}"},
        {"model.activation": "relu,evil"},
        {"optimizer.lr": 5},
        {"optimizer.lr": "0.1 allow=[torch.]"},
        {"model.width": True},
    ],
)
def test_values_that_the_space_does_not_have_become_no_words(sweep: Path, params):
    for path in (sweep / "trials").iterdir():
        result = Result.read(path)
        result.params = {**result.params, **params}
        result.write(path)
    with pytest.raises(UsageError, match="outside of"):
        confirm(sweep, 2, 2)
    assert not (sweep / "confirm.json").exists()


@pytest.mark.parametrize(
    "entry",
    [
        {"candidates": {"default": {}, "0": {"allow": ["torch."]}}},
        {"candidates": {"default": {}, "0;x": {}}},
        {"seeds": ["1 allow=[torch.]", 2]},
        {"sweep": "../../elsewhere"},
    ],
)
def test_a_plan_that_was_slipped_in_becomes_no_words(sweep: Path, entry):
    plan = {"sweep": "x", "top": 2, "candidates": {"default": {}}, "seeds": [1, 2], "result": None}
    (sweep / "confirm.json").write_text(json.dumps([{**plan, **entry}]))
    with pytest.raises(UsageError):
        confirm(sweep, 2, 2)


# ---- a single run


@pytest.mark.parametrize("do", [go_on, replay])
@pytest.mark.parametrize("where", ["status", "result", "both"])
def test_the_script_that_a_received_run_names_is_not_started(sweep: Path, tmp_path, do, where):
    run = tmp_path / "outputs/runs/received"
    (run / "panda").mkdir(parents=True)
    (run / "evil.py").write_text("open('harm', 'w')")
    (run / "config.yaml").write_text("allow: []\n")
    for script in (str(run / "evil.py"), f"{tmp_path}/x/../outputs/runs/received/evil.py"):
        started = {"module": None, "script": script, "cwd": str(tmp_path), "threads": 1}
        result = Result(state="FAIL", facts={"program": started} if where != "status" else {})
        result.write(run)
        (run / "panda/status.json").write_text(json.dumps({**started, "state": "training"}))
        with pytest.raises(UsageError, match="did not make it here") as error:
            do(run)
        assert "--trust" in str(error.value)


# ---- with real programs


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
    assert f"caviar resume {app.folder / 'sweep'} --trust" in done.err
    done = app.resume("--trust")
    assert (done.status, harm.exists()) == (0, True), done.err


class Harm:
    """Unpickled, it makes a folder."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self):
        return os.mkdir, (str(self.where),)


def cmaes_app(folder: Path) -> App:
    app = make_app(folder)
    config = app.folder / "conf" / "config.yaml"
    config.write_text(
        config.read_text()
        .replace("caviar\n", "caviar\n  - override hydra/sweeper/sampler: cmaes\n", 1)
        .replace("x: interval(-5, 5)", "x: interval(-5, 5)\n      y: interval(0, 1)")
    )
    return app


def test_no_pickle_of_a_study_is_loaded_and_none_is_left_there(tmp_path: Path):
    app = cmaes_app(tmp_path / "app")
    assert app.sweep("hydra.sweeper.n_trials=12").status == 0
    journal = app.folder / "sweep" / "study.journal"
    assert "cma:generation" in journal.read_text()
    assert "cma:optimizer" not in journal.read_text()
    text = pickle.dumps(Harm(tmp_path / "harm")).hex()
    lines = journal.read_text().splitlines()
    for key in ("cma:optimizer:0", "x:optimizer:0", "cma:optimizers"):
        log = {"op_code": 9, "worker_id": "x", "trial_id": 0, "system_attr": {key: text}}
        # Told before the trial ended, as a journal has it.
        at = next(i for i, line in enumerate(lines) if '"op_code":6' in line)
        lines[at:at] = [json.dumps(log)]
    journal.write_text("\n".join(lines) + "\n")
    done = app.resume("n_trials=16")
    assert not (tmp_path / "harm").exists()
    assert done.status == 0, done.out + done.err


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("settings", [{}, {"with_margin": True}, {"use_separable_cma": True}])
def test_cmaes_learns_from_the_trials_what_it_had_learnt_from_them(settings):
    load_no_pickles()
    storage = optuna.storages.InMemoryStorage()

    def study() -> optuna.Study:
        sampler = optuna.samplers.CmaEsSampler(seed=1, **settings)
        return optuna.create_study(
            storage=storage, sampler=sampler, study_name="s", load_if_exists=True
        )

    def objective(trial: optuna.Trial) -> float:
        return (trial.suggest_float("x", -5, 5) - 1) ** 2 + trial.suggest_int("n", 0, 10)

    first, again = study(), study()
    first.optimize(objective, n_trials=40)
    again.optimize(objective, n_trials=1)
    kept, found = (one.sampler._optimizer[0] for one in (first, again))
    assert found.generation >= kept.generation >= 4
    first.optimize(objective, n_trials=1)
    state = kept.__getstate__()
    for name, value in found.__getstate__().items():
        if isinstance(value, np.ndarray) and name != "_funhist_values":  # not all of it is set
            np.testing.assert_allclose(state[name], value)
    again.optimize(objective, n_trials=20)
    assert again.best_value < 0.5
