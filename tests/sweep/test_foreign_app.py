"""The sweeper serves any Hydra app that returns a number, in any folder."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from caviar.base import hydra_versions
from caviar.runs.folder import was_stopped
from tests import copies
from tests.apps import CONFIG, GUARD, QUADRATIC, make_app
from tests.waiting import until


@pytest.mark.fast
def test_a_ten_line_quadratic_is_swept(tmp_path):
    app = make_app(tmp_path / "an app")
    done = app.sweep()
    assert done.status == 0, done.err
    results = app.results()
    assert [result["number"] for result in results] == [0, 1, 2, 3]
    for result in results:
        assert result["state"] == "COMPLETE"
        assert result["value"] == pytest.approx((result["params"]["x"] - 1) ** 2)
    best = min(results, key=lambda result: result["value"])
    assert f"│     {best['number']} │" in done.out.split("best trials")[1].splitlines()[4]


def test_every_trial_leaves_the_same_files(tmp_path):
    app = make_app(tmp_path / "app")
    app.sweep("hydra.sweeper.n_trials=2")
    folder = app.folder / "sweep" / "trials" / "0001"
    assert {file.name for file in folder.iterdir()} == {
        "config.yaml",
        "overrides.yaml",
        "result.json",
        "log.txt",
    }
    config = yaml.safe_load((folder / "config.yaml").read_text())
    overrides = yaml.safe_load((folder / "overrides.yaml").read_text())
    assert overrides == [f"x={config['x']}"]
    assert config["x"] == json.loads((folder / "result.json").read_text())["params"]["x"]


def test_a_script_without_a_guard_is_swept_and_not_started_again_by_its_workers(tmp_path):
    app = make_app(tmp_path / "app", QUADRATIC + "main()\nprint('the end')\n")
    done = app.sweep()
    assert done.status == 0, done.err
    assert len(app.results()) == 4
    assert done.out.count("the end") == 1
    assert [folder.name for folder in app.folder.glob("sweep*")] == ["sweep"]


def test_a_module_run_with_dash_m_is_swept(tmp_path):
    app = make_app(tmp_path / "app")
    (app.folder / "package").mkdir()
    code = QUADRATIC.replace('"conf"', '"../conf"') + "\nfrom package.other import TWO\n" + GUARD
    (app.folder / "package" / "__init__.py").touch()
    (app.folder / "package" / "other.py").write_text("TWO = 2\n")
    (app.folder / "package" / "app.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "package.app", "-m"], cwd=app.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(app.results()) == 4


def test_classes_of_a_script_are_main_in_its_workers_too(tmp_path):
    code = """
import hydra, pickle, sys

class Thing:
    pass

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    assert pickle.loads(pickle.dumps(Thing())).__class__ is sys.modules["__main__"].Thing
    return 1.0
"""
    app = make_app(tmp_path / "app", code + GUARD)
    assert app.sweep().status == 0, app.results()


def test_a_hydra_optuna_sweeper_params_block_runs_unchanged(tmp_path):
    params = """
hydra:
  sweeper:
    direction: minimize
    n_trials: 20
    params:
      x: range(-5.5, 5.5, step=0.5)
      y: choice(-5 ,0 ,5)
"""
    config = yaml.safe_load(CONFIG)
    config["hydra"]["sweeper"] = yaml.safe_load(params)["hydra"]["sweeper"]
    app = make_app(tmp_path / "app", config=yaml.safe_dump(config, sort_keys=False))
    assert app.sweep().status == 0
    results = app.results()
    assert len(results) == 20
    assert {result["params"]["y"] for result in results} <= {-5, 0, 5}
    assert all(result["params"]["x"] * 2 % 1 == 0 for result in results)


def test_what_a_foreign_app_gets_when_it_sets_nothing_but_params(tmp_path):
    config = yaml.safe_load(CONFIG)
    config["hydra"] = {"sweeper": {"params": {"x": "interval(-5, 5)"}}}
    app = make_app(tmp_path / "app", config=yaml.safe_dump(config, sort_keys=False))
    assert app.sweep("hydra.sweep.dir=sweep").status == 0
    settings = app.settings()
    assert settings["sampler"]["_target_"] == "caviar.sweep.samplers.RandomSampler"
    assert settings["executor"]["_target_"] == "caviar.executors.local.LocalExecutor"
    assert settings["storage"] == "study.journal"
    assert settings["direction"] == "minimize"
    assert len(app.results()) == 20


@pytest.mark.parametrize(("direction", "best"), [("minimize", min), ("maximize", max)])
def test_best_is_what_the_direction_says(tmp_path, direction, best):
    app = make_app(tmp_path / "app")
    done = app.sweep(f"hydra.sweeper.direction={direction}")
    wanted = best(app.results(), key=lambda result: result["value"])["number"]
    assert done.out.split("best trials")[1].splitlines()[4].split("│")[1].strip() == str(wanted)


def test_the_study_is_a_journal_that_optuna_reads(tmp_path):
    import optuna

    app = make_app(tmp_path / "app")
    app.sweep()
    backend = optuna.storages.journal.JournalFileBackend(str(app.folder / "sweep/study.journal"))
    (study,) = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    loaded = optuna.load_study(
        study_name=study.study_name, storage=optuna.storages.JournalStorage(backend)
    )
    assert [trial.value for trial in loaded.trials] == [r["value"] for r in app.results()]


def test_sweep_yaml_tells_what_was_run_and_from_where(tmp_path):
    app = make_app(tmp_path / "app")
    app.sweep("y=1,2")
    settings = app.settings()
    assert settings["command"][1:] == ["app.py", "-m", "y=1,2"]
    assert settings["folder"] == str(app.folder)
    assert settings["space"] == {"x": "interval(-5.0, 5.0)", "y": "choice(1, 2)"}
    assert settings["sampler"]["seed"] is not None
    assert {"optuna", "torch", "python"} <= set(settings["versions"])


def test_the_recorded_seed_gives_the_same_trials_again(tmp_path):
    app = make_app(tmp_path / "app")
    app.sweep()
    seed = app.settings()["sampler"]["seed"]
    app.sweep(f"hydra.sweeper.sampler.seed={seed}", "hydra.sweep.dir=again")
    assert [r["params"] for r in app.results("again")] == [r["params"] for r in app.results()]


def test_one_worker_and_four_try_the_same_trials(tmp_path):
    app = make_app(tmp_path / "app")
    for workers in (1, 4):
        done = app.sweep(
            "y=choice(1,2,3)",
            "hydra.sweeper.n_trials=12",
            "hydra.sweeper.sampler.seed=7",
            f"hydra.sweeper.executor.workers={workers}",
            f"hydra.sweep.dir=on_{workers}",
        )
        assert f"on {workers} lanes" in done.out
    tried = [[result["params"] for result in app.results(f"on_{n}")] for n in (1, 4)]
    assert tried[0] == tried[1]


def test_a_taken_name_gets_a_suffix_and_nothing_is_written_over(tmp_path):
    app = make_app(tmp_path / "app")
    app.sweep()
    before = {f: f.read_bytes() for f in (app.folder / "sweep").rglob("*") if f.is_file()}
    app.sweep()
    assert len(app.results("sweep-2")) == 4
    assert before == {f: f.read_bytes() for f in (app.folder / "sweep").rglob("*") if f.is_file()}


def test_config_groups_are_searched_and_conditions_hold(tmp_path):
    app = make_app(tmp_path / "app", QUADRATIC.replace("config.y", "config.kind.y") + GUARD)
    (app.folder / "conf" / "kind").mkdir()
    (app.folder / "conf" / "kind" / "plain.yaml").write_text("y: 1\n")
    (app.folder / "conf" / "kind" / "fancy.yaml").write_text("y: 2\nextra: 0.5\n")
    config = yaml.safe_load((app.folder / "conf/config.yaml").read_text())
    config["defaults"] = ["_self_", {"kind": "plain"}, *config["defaults"]]
    config["hydra"]["sweeper"]["params"] |= {
        "kind": "choice(plain, fancy)",
        "kind.extra": "interval(0.1, 0.9)",
    }
    config["hydra"]["sweeper"]["when"] = {"kind.extra": {"kind": "fancy"}}
    (app.folder / "conf/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = app.sweep("hydra.sweeper.n_trials=10", "hydra.sweeper.sampler.seed=0")
    assert done.status == 0, done.out + done.err
    results = app.results()
    assert {result["params"]["kind"] for result in results} == {"plain", "fancy"}
    for result in results:
        fancy = result["params"]["kind"] == "fancy"
        assert ("kind.extra" in result["params"]) is fancy
        assert result["value"] == pytest.approx((result["params"]["x"] - 1) ** 2 + 1 + fancy)
        folder = app.folder / "sweep" / "trials" / f"{result['number']:04}"
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["kind"] == (
            {"y": 2, "extra": result["params"]["kind.extra"]} if fancy else {"y": 1}
        )


def test_glob_searches_the_options_of_a_config_group(tmp_path):
    app = _with_kinds(
        make_app(tmp_path / "app", QUADRATIC.replace("config.y", "config.kind.y") + GUARD)
    )
    done = app.sweep("kind=glob(*, exclude=other*)", "x=1.0", "hydra/sweeper/sampler=grid")
    assert done.status == 0, done.out + done.err
    assert {r["params"]["kind"]: r["value"] for r in app.results()} == {
        "plain": 1,
        "über 2": 2,
        "3": 3,
    }


def test_an_option_of_a_group_may_have_any_name_and_its_rerun_command_works(tmp_path):
    app = _with_kinds(
        make_app(tmp_path / "app", QUADRATIC.replace("config.y", "config.kind.y") + GUARD)
    )
    done = app.sweep("kind='über 2',3", "x=1.0", "hydra/sweeper/sampler=grid")
    assert done.status == 0, done.out + done.err
    assert {r["params"]["kind"]: r["value"] for r in app.results()} == {"über 2": 2, 3: 3}
    for folder in (app.folder / "sweep/trials").iterdir():
        again = app.run(*yaml.safe_load((folder / "overrides.yaml").read_text()))
        assert again.status == 0, again.err


def test_an_override_may_refer_to_what_is_searched_and_added(tmp_path):
    code = """
import hydra

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    return float(config.tag[1:])
"""
    app = _with_kinds(make_app(tmp_path / "app", code + GUARD))
    words = ["+new.z=1,2", "kind=plain,other", "+tag=t${new.z}", "+hydra.job.env_set.TAG=${new.z}"]
    done = app.sweep("x=0.0", *words, "hydra/sweeper/sampler=grid")
    assert done.status == 0, done.out + done.err
    assert sorted(r["value"] for r in app.results()) == [1, 1, 2, 2]


def _with_kinds(app):
    kinds = app.folder / "conf" / "kind"
    kinds.mkdir()
    for y, name in enumerate(("plain", "über 2", "3", "other"), 1):
        (kinds / f"{name}.yaml").write_text(f"y: {y}\n")
    config = yaml.safe_load(CONFIG)
    config["defaults"] = ["_self_", {"kind": "plain"}, *config["defaults"]]
    (app.folder / "conf/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return app


def test_lists_and_null_can_be_options(tmp_path):
    code = QUADRATIC.replace("config.y", "(sum(config.y) if config.y else 0)") + GUARD
    app = make_app(tmp_path / "app", code)
    done = app.sweep("y=[1,2],[3],null", "hydra.sweeper.n_trials=8", "hydra.sweeper.sampler.seed=0")
    assert done.status == 0, done.out
    assert {json.dumps(r["params"]["y"]) for r in app.results()} == {"[1, 2]", "[3]", "null"}


def test_several_objectives_give_a_front(tmp_path):
    code = QUADRATIC.replace("return (", "return config.x, (") + GUARD
    app = make_app(tmp_path / "app", code)
    done = app.sweep("hydra.sweeper.direction=[minimize,maximize]")
    assert done.status == 0, done.out + done.err
    assert all(len(result["value"]) == 2 for result in app.results())


def test_a_grid_tries_every_combination_once(tmp_path):
    app = make_app(tmp_path / "app")
    done = app.sweep(
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.sampler.points=3",
        "y=1,2",
        "hydra.sweeper.n_trials=null",
    )
    assert done.status == 0, done.out + done.err
    tried = sorted((r["params"]["x"], r["params"]["y"]) for r in app.results())
    assert tried == [(x, y) for x in (-5, 0, 5) for y in (1, 2)]


def test_hydra_config_and_chdir_work_in_a_worker(tmp_path):
    code = """
import hydra, os
from hydra.core.hydra_config import HydraConfig

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    hydra_config = HydraConfig.get()
    assert os.getcwd() == hydra_config.runtime.output_dir == config.here, os.getcwd()
    assert os.path.basename(os.getcwd()) == f"{hydra_config.job.num:04}"
    assert hydra_config.overrides.task == [f"x={config.x}"]
    assert os.environ["FOR_THE_JOB"] == "yes"
    return 0.0
"""
    config = CONFIG + "here: ${hydra:runtime.output_dir}\n"
    app = make_app(tmp_path / "app", code + GUARD, config)
    done = app.sweep("hydra.job.chdir=true", "+hydra.job.env_set.FOR_THE_JOB=yes")
    assert done.status == 0, done.out


@pytest.mark.parametrize("fork", [True, False])
def test_trials_of_an_app_without_a_version_base_are_in_their_folders_as_hydras_jobs_are(
    tmp_path, fork
):
    code = QUADRATIC.replace(', version_base="1.3"', "").replace(
        "return", "open('left.txt', 'w').close(); return"
    )
    app = make_app(tmp_path / "app", code + GUARD)
    done = app.sweep(f"hydra.sweeper.executor.fork={fork}")
    assert done.status == 0, done.out + done.err
    left = [file.parent.name for file in app.folder.rglob("left.txt")]
    stays = hydra_versions.CHECKS_TARGETS  # Hydra 1.4 has no version_base to go by
    assert sorted(left) == (["app"] if stays else ["0000", "0001", "0002", "0003"])


@pytest.mark.parametrize("base", ["1.1", "1.2", "1.3", None])
@pytest.mark.parametrize("fork", [True, False])
def test_whatever_version_base_an_app_has_a_sweep_says_of_it_what_hydra_says_of_a_run(
    tmp_path, base, fork
):
    app = make_app(tmp_path / "app")
    code = (app.folder / "app.py").read_text().replace(', version_base="1.3"', "")
    code = code.replace('"config")', f'"config", version_base={base!r})')
    (app.folder / "app.py").write_text(code)
    run = app.run("hydra.run.dir=run")
    done = app.sweep(f"hydra.sweeper.executor.fork={fork}")
    assert run.status == done.status, done.out + done.err
    if run.status == 0:
        assert run.err.startswith(done.err)
        assert len(app.results()) == 4


def test_hydras_sweep_dir_and_subdir_are_where_the_trial_is(tmp_path):
    code = """
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    assert config.here == HydraConfig.get().runtime.output_dir, config.here
    return 0.0
"""
    config = CONFIG.replace("dir: sweep", "dir: sweeps/${now:%f}")
    config += "here: ${hydra:sweep.dir}/${hydra:sweep.subdir}\n"
    app = make_app(tmp_path / "app", code + GUARD, config)
    done = app.sweep()
    assert done.status == 0, done.out + done.err
    for _ in range(2):  # the second time the name is taken
        done = app.sweep("hydra.sweep.dir=sweeps/named")
        assert done.status == 0, done.out + done.err
    assert (app.folder / "sweeps/named-2").is_dir()


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_trial_that_goes_elsewhere_leaves_the_next_one_where_the_sweep_began(tmp_path, executor):
    code = QUADRATIC.replace(
        "return", "import os; here = os.getcwd(); os.chdir('/'); return len(here); return"
    )
    app = make_app(tmp_path / "app", code + GUARD)
    done = app.sweep(f"hydra/sweeper/executor={executor}")
    assert done.status == 0, done.out + done.err
    assert {result["value"] for result in app.results()} == {len(str(app.folder))}


def test_an_environment_secret_reaches_the_task_and_no_file(tmp_path):
    code = QUADRATIC.replace("return", "assert config.again == 'hunter2'; return") + GUARD
    config = CONFIG + "token: ${oc.env:TOKEN}\nagain: ${token}\n"
    app = make_app(tmp_path / "app", code, config)
    done = app.sweep(env={"TOKEN": "hunter2"})
    assert done.status == 0, done.out
    files = [file for file in app.folder.rglob("*") if file.is_file()]
    assert not [file for file in files if b"hunter2" in file.read_bytes() and file.name != "app.py"]
    written = yaml.safe_load((app.folder / "sweep/trials/0000/config.yaml").read_text())
    assert written["token"] == "${oc.env:TOKEN}"
    assert written["again"] == "${token}"


def test_the_commands_that_a_sweep_ends_with_work_in_a_folder_with_a_space(tmp_path: Path):
    app = make_app(tmp_path / "my app's folder")
    done = app.sweep("hydra.sweeper.n_trials=2")
    assert done.status == 0, done.out + done.err
    lines = [line.partition(": ")[2].strip() for line in done.out.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("caviar ")]
    assert [command[1] for command in commands] == ["runs", "report"]
    for command in commands:
        line = [sys.executable, "-m", "caviar.cli", *command[1:]]
        shown = copies.run(line, cwd=app.folder, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stdout + shown.stderr


def test_a_stopped_sweep_in_a_folder_with_a_space_can_be_gone_on_with_as_it_says(tmp_path: Path):
    failing = QUADRATIC.replace("return ", "raise ValueError('always') or ")
    app = make_app(tmp_path / "my app", failing + GUARD)
    done = app.sweep("hydra.sweeper.n_trials=8", "hydra.sweeper.max_same_failures=2")
    assert done.status == 4, done.out + done.err
    line = done.out.partition("go on with it:")[2].splitlines()[0]
    assert shlex.split(line) == ["caviar", "resume", str(app.folder / "sweep")]
    (app.folder / "app.py").write_text(QUADRATIC + GUARD)
    words = [sys.executable, "-m", "caviar.cli", *shlex.split(line)[1:]]
    resumed = copies.run(words, cwd=app.folder, capture_output=True, text=True)
    assert resumed.returncode == 3, resumed.stdout + resumed.stderr  # the first ones stay failed
    assert "6 complete" in resumed.stdout


INSTANTIATING = """
import hydra
from hydra.utils import instantiate

@hydra.main(config_path="conf", config_name="config", WHITELIST)
def main(config):
    return float(instantiate(config.made))

if __name__ == "__main__":
    main()
"""


@pytest.mark.fast
@pytest.mark.skipif(not hydra_versions.CHECKS_TARGETS, reason="Hydra 1.3 has no whitelist")
@pytest.mark.parametrize("executor", ["local", "local.fork=false", "inline"])
def test_what_an_app_trusts_hydra_to_call_is_what_its_trials_trust(tmp_path, executor):
    code = INSTANTIATING.replace("WHITELIST", 'execution_whitelist=["math.*"]')
    config = CONFIG + "made: {_target_: math.sqrt, _args_: [4.0]}\n"
    app = make_app(tmp_path / "app", code, config)
    name, _, setting = executor.partition(".")
    words = [f"hydra/sweeper/executor={name}"]
    words += [f"hydra.sweeper.executor.{setting}"] if setting else []
    done = app.sweep(*words)
    assert (done.status, done.err) == (0, ""), done.out
    assert {result["value"] for result in app.results()} == {2.0}
    assert "warn" not in "".join(log.read_text().lower() for log in app.folder.rglob("log.txt"))
    # A config cannot widen what code says.
    words += ["made._target_=operator.neg", "+allow=[operator_.]", "hydra.sweep.dir=other"]
    refused = app.sweep(*words)
    assert refused.status == 4
    assert "whitelist" in app.results("other")[0]["error"]


@pytest.mark.fast
def test_a_cloner_who_allows_a_package_has_allowed_it_to_hydra_too(tmp_path):
    code = INSTANTIATING.replace("@hydra.main", "@caviar.main").replace(", WHITELIST", "")
    app = make_app(
        tmp_path / "app",
        code.replace("import hydra\n", "import caviar\n"),
        CONFIG.replace("hydra:\n", "hydra:\n  callbacks: {noting: {_target_: mine.Noting}}\n")
        + "allow: [mine.]\nmade: {_target_: mine.two}\n",
    )
    (app.folder / "mine.py").write_text(
        "from hydra.experimental.callback import Callback\n\n\n"
        "def two():\n    return 2.0\n\n\n"
        "class Noting(Callback):\n"
        "    def on_job_end(self, config, job_return, **kwargs):\n"
        "        print('noted', job_return.return_value)\n"
    )
    done = app.sweep()
    assert (done.status, done.err) == (0, ""), done.out
    logs = "".join(log.read_text() for log in app.folder.rglob("log.txt"))
    assert "warn" not in logs.lower()
    assert logs.count("noted 2.0") == 4
    run = app.run("hydra.run.dir=run")
    assert (run.status, run.err) == (0, ""), run.out
    if hydra_versions.CHECKS_TARGETS:
        refused = app.sweep("made._target_=math.sqrt", "hydra.sweep.dir=other")
        assert refused.status == 4
        assert "math.sqrt" in app.results("other")[0]["error"]
        nobody = app.sweep("allow=[]", "hydra.sweep.dir=third")
        assert nobody.status == 2
        assert "mine.Noting" in nobody.err
        assert nobody.err.count("\n") == 1


LIGHTNING = """
import hydra, os
from pathlib import Path
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

class Plain(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        Path("training").mkdir(exist_ok=True)
        (Path("training") / str(os.getpid())).touch()
        return (self.net(batch[0]) ** 2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    epochs = 1 if Path("go").exists() else 1_000_000
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", logger=False,
                      enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(Plain(), DataLoader(TensorDataset(torch.randn(64, 3)), 8))
    return config.x

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_trials_of_a_plain_lightning_app_are_interrupted_by_sigterm_and_not_failed(
    tmp_path: Path, executor: str
) -> None:
    app = make_app(tmp_path / "app", LIGHTNING)
    workers = ("hydra.sweeper.executor.workers=2",) if executor == "local" else ()
    process = app.start(f"hydra/sweeper/executor={executor}", *workers)
    training = app.folder / "training"
    lanes = 2 if executor == "local" else 1
    until(lambda: training.exists() and len(list(training.iterdir())) == lanes, "they train", 120)
    for pid in {process.pid, *(int(file.name) for file in training.iterdir())}:
        os.kill(pid, signal.SIGTERM)
    assert process.wait(30) == 143, app.out
    results = app.results()
    assert len(results) == lanes
    assert all(was_stopped(result["error"]) for result in results), results
    assert "FAILED" not in app.out
    (app.folder / "go").touch()
    done = app.resume()
    assert done.status == 0, done.out + done.err
    assert [r["state"] for r in app.results()].count("COMPLETE") == 4
