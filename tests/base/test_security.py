"""What a config, a checkpoint or a run folder may not make us do. The forbidden is really tried."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from caviar.base import security
from caviar.base.errors import UsageError
from caviar.base.security import ALLOWED, allow, check_target, instantiate
from tests.apps import make_app

pytestmark = pytest.mark.fast

FORBIDDEN = [
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "subprocess.run",
    "torch.load",
    "torch.hub.load",
    "pandas.read_pickle",
    "pickle.loads",
    "logging.os.system",
    "hydra.utils.instantiate",
    "importlib.import_module",
    # These begin with a package that is allowed, and end elsewhere.
    "project.train.logging.os.system",
    "project.data.table.pd.read_pickle",
    "caviar.app.entry.os.system",
    "caviar.runs.files.os.remove",
    "torch.nn.modules.module.torch.load",
    "torch.optim.lr_scheduler.torch.load",
    "lightning.pytorch.trainer.trainer.os.system",
    "optuna.study.study.os.system",
    "project.nothing.at_all",
    "project.",
    "",
    None,
    ["os.system"],
]


@pytest.mark.parametrize("target", FORBIDDEN, ids=str)
def test_a_forbidden_target_is_refused_and_not_called(target, tmp_path: Path):
    witness = tmp_path / "witness"
    config = {"_target_": target, "_args_": [f"touch {witness}"]}
    for shape in (config, {"a": {"b": [config]}}, [config], OmegaConf.create({"a": config})):
        with pytest.raises(UsageError, match="_target_="):
            instantiate(shape)
    assert not witness.exists()


def test_a_target_among_the_arguments_of_an_allowed_one_is_refused(tmp_path: Path):
    bad = {"_target_": "os.system", "_args_": ["true"]}
    with pytest.raises(UsageError, match=r"_target_=os\.system"):
        instantiate({"_target_": "torch.nn.Linear", "in_features": 1, "out_features": bad})
    for hidden in (bad, OmegaConf.create(bad), [OmegaConf.create({"a": bad})]):
        with pytest.raises(UsageError, match=r"_target_=os\.system"):
            instantiate({"_target_": "torch.nn.Linear"}, in_features=1, out_features=hidden)


def test_an_interpolation_does_not_hide_a_target():
    config = OmegaConf.create({"a": {"_target_": "${b}"}, "b": "os.system"})
    with pytest.raises(UsageError, match=r"_target_=os\.system"):
        instantiate(config.a)


def test_what_is_allowed_works():
    for target in (
        "torch.nn.ReLU",
        "caviar.lightning.schedulers.Cosine",
        "optuna.samplers.RandomSampler",
    ):
        check_target(target)
    assert isinstance(instantiate({"_target_": "torch.nn.ReLU"}), torch.nn.ReLU)


@pytest.mark.parametrize(
    "prefix", ["os.", "os", "subprocess.", "", ".", "a b.", "torch", "builtins.", 3, "x..y."]
)
def test_a_config_cannot_allow_everything(prefix, monkeypatch):
    monkeypatch.setattr(security, "ALLOWED", list(ALLOWED))
    with pytest.raises(UsageError, match="allow="):
        allow([prefix])
    assert security.ALLOWED == ALLOWED


def test_a_config_may_allow_a_package_of_its_own(tmp_path: Path):
    code = """
import hydra
import caviar

@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    return caviar.instantiate(config.made).value

if __name__ == "__main__":
    main()
"""
    app = make_app(tmp_path / "app", code)
    (app.folder / "mine.py").write_text("class Made:\n    value = 7.0\n")
    made = "+made={_target_:mine.Made}"
    refused = app.sweep(made, "hydra.sweeper.n_trials=1")
    assert refused.status == 4
    assert "_target_=mine.Made: not allowed" in refused.out
    for allowed in ("[mine.]", "mine."):
        done = app.sweep(made, f"+allow={allowed}", "hydra.sweeper.n_trials=1")
        assert done.status == 0, done.out + done.err
    assert app.results("sweep-2")[0]["value"] == 7.0


@pytest.mark.parametrize(
    "override",
    [
        "hydra.sweeper.sampler._target_=os.system",
        "hydra.sweeper.executor._target_=os.system",
        "+hydra.sweeper.pruner._target_=os.system",
        "hydra.sweeper.check=os.system",
        "hydra.sweeper.build=os.system",
    ],
)
def test_a_sweep_refuses_forbidden_parts_before_anything_starts(tmp_path: Path, override):
    app = make_app(tmp_path / "app")
    done = app.sweep(override)
    assert done.status == 2, done.out + done.err
    assert "os.system: not allowed" in done.err
    assert done.err.count("\n") == 1
    assert not (app.folder / "sweep").exists()


@pytest.mark.parametrize(
    "target",
    [
        "caviar.base.security.allow",
        "caviar.runs.files.write_atomic",
        "caviar.executors.task.load_task",
        "lightning.pytorch.core.saving._load_from_checkpoint",
        "lightning.pytorch.LightningModule.load_from_checkpoint",
        "project.classifier.Classifier.load_from_checkpoint",
        "optuna.load_study",
    ],
)
def test_of_a_library_only_classes_are_targets(target):
    with pytest.raises(UsageError, match="not allowed"):
        instantiate({"_target_": target, "_args_": [[]]})


def test_a_function_of_the_project_is_a_target():
    check_target("caviar.lightning.callbacks.progress_bar.ProgressBar")


def test_a_misspelt_target_is_told_in_one_line_with_the_nearest_name(caplog):
    with pytest.raises(UsageError) as told:
        check_target("optuna.samplers.TPESampller")
    line = (
        "_target_=optuna.samplers.TPESampller: not found; did you mean optuna.samplers.TPESampler?"
    )
    assert str(told.value) == line
    assert caplog.text == ""


def test_a_mistake_in_the_code_of_a_target_keeps_its_traceback(tmp_path: Path, monkeypatch):
    (tmp_path / "buggy_package.py").write_text(
        "class Model:\n    def __init__(self):\n        self.size = len(3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("caviar.base.security.ALLOWED", ["buggy_package."])
    with pytest.raises(TypeError, match="has no len") as raised:
        instantiate({"model": {"_target_": "buggy_package.Model"}})
    assert raised.traceback[-1].path.name == "buggy_package.py"
    with pytest.raises(UsageError, match=r"^model: TypeError: .*unexpected keyword argument 'x'$"):
        instantiate({"model": {"_target_": "buggy_package.Model", "x": 1}})
