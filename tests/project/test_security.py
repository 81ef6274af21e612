"""What a run's config, its checkpoint or its folder may not make us do."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
import yaml

from caviar.base.errors import UsageError
from caviar.lightning.saved import open_run
from caviar.lightning.tensors import read_weights
from tests import copies


@pytest.mark.parametrize(
    "override",
    [
        "callbacks.nan_guard._target_=os.system",
        "logger.csv._target_=os.system",
        "model._target_=os.system",
        "data._target_=builtins.eval",
        "optimizer._target_=torch.load",
        "metrics.acc._target_=pandas.read_pickle",
        "scheduler._target_=logging.os.system",
    ],
)
def test_a_run_refuses_forbidden_parts_of_its_config(override, train, short):
    with pytest.raises(UsageError, match="not allowed"):
        train(*short, override)


def received(run, **parts) -> Path:
    """The folder of a run as somebody else sends it: its config names what he likes."""
    path = run.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for key, value in parts.items():
        config[key] = {**config[key], **value} if isinstance(config[key], dict) else value
    path.write_text(yaml.safe_dump(config))
    return run.folder


@pytest.mark.parametrize("part", ["model", "task", "optimizer", "scheduler", "data"])
def test_a_received_config_that_names_a_function_is_refused(train, short, part):
    run = train(*short)
    for target in (
        "os.system",
        "project.classifier.Classifier.load_from_checkpoint",
        "lightning.pytorch.LightningModule.load_from_checkpoint",
        "lightning.pytorch.core.saving._load_from_checkpoint",
    ):
        with pytest.raises(UsageError, match=r"not allowed|not found"):
            open_run(received(run, **{part: {"_target_": target}}))


@pytest.mark.parametrize(
    ("part", "target", "line"),
    [
        ("model", "project.data.digits.Digits", "is no Module or Optimizer"),
        ("task", "project.models.mlp.MLP", "is no LightningModule"),
        ("data", "project.models.mlp.MLP", "is no LightningDataModule"),
    ],
)
def test_a_received_config_that_names_a_class_of_another_kind_is_refused(
    train, short, part, target, line
):
    with pytest.raises(UsageError, match=line):
        open_run(received(train(*short), **{part: {"_target_": target}}))


def test_a_received_runs_data_name_no_further_class(train, short):
    data = {"noise": {"_target_": "project.models.mlp.MLP"}}
    with pytest.raises(UsageError, match="name no other class"):
        open_run(received(train(*short), data=data))


class Touch:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_checkpoint_with_a_pickled_object_is_refused_and_runs_nothing(train, short, tmp_path):
    run = train(*short)
    witness = tmp_path / "witness"
    content = torch.load(run.best, weights_only=True)
    torch.save({**content, "more": Touch(witness)}, run.best)
    with pytest.raises(UsageError, match=r"best\.ckpt is damaged") as told:
        open_run(run.folder)
    assert "\n" not in str(told.value)
    # Of another project's checkpoint the objects are passed over, and run nothing either.
    weights = read_weights(run.best, foreign=True)["state_dict"]
    assert {k: v.tolist() for k, v in weights.items()} == {
        k: v.tolist() for k, v in content["state_dict"].items()
    }
    assert not witness.exists()


def test_a_config_that_asks_for_nonsense_is_told_in_one_line(train, short):
    with pytest.raises(UsageError) as told:
        open_run(received(train(*short), model={"no_such": 1}))
    assert "no_such" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_checkpoint_path_that_leads_out_of_the_run_folder_is_refused(train, short, tmp_path):
    run = train(*short)
    result = json.loads((run.folder / "result.json").read_text())
    for path in ("../other/best.ckpt", "/etc/passwd", "checkpoints/link.ckpt"):
        result["checkpoint"] = path
        (run.folder / "result.json").write_text(json.dumps(result))
        (run.folder / "checkpoints" / "link.ckpt").unlink(missing_ok=True)
        (run.folder / "checkpoints" / "link.ckpt").symlink_to("/etc/passwd")
        with pytest.raises(UsageError, match="lies outside"):
            open_run(run.folder)


@pytest.mark.parametrize("name", ["../out", "a/../../out", "..", "a b", "x;y", "$(touch x)"])
def test_a_run_name_cannot_lead_out_of_the_outputs(tmp_path: Path, name):
    command = [sys.executable, "-m", "project.train", "debug=fast", f"name='{name}'"]
    before = sorted(tmp_path.rglob("*"))
    done = copies.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1
    made = [path for path in tmp_path.rglob("*") if path not in before and path.is_file()]
    assert made == []
    assert not (tmp_path.parent / "out").exists()
