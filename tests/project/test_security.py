"""What a run's config, its checkpoint or its folder may not make us do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caviar.base.errors import UsageError
from caviar.lightning.saved import open_run
from project.classifier import Classifier


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


def bad_checkpoint(path: Path, change) -> None:
    content = torch.load(path, weights_only=True)
    change(content["hyper_parameters"])
    torch.save(content, path)


@pytest.mark.parametrize("key", ["network", "optimizer", "scheduler", "metrics"])
def test_a_checkpoint_whose_hyperparameters_carry_a_target_is_refused(train, short, key):
    run = train(*short)

    def change(hyper_parameters):
        bad = {"_target_": "os.system"}
        hyper_parameters[key] = {"acc": bad} if key == "metrics" else bad

    bad_checkpoint(run.best, change)
    if key == "optimizer":
        # It is made when training starts, and refused there.
        module = Classifier.load_from_checkpoint(run.best, weights_only=True)
        with pytest.raises(UsageError, match="not allowed"):
            module.configure_optimizers()
        return
    with pytest.raises(UsageError, match="not allowed"):
        open_run(run.folder)


def test_a_checkpoint_that_names_another_class_to_instantiate_does_not_get_it(train, short):
    # CVE-2024-5452's neighbour: Lightning calls the function that `_instantiator` names.
    run = train(*short)
    bad_checkpoint(run.best, lambda h: h.update({"_instantiator": "os.system"}))
    with pytest.raises(UsageError, match=r"not readable \(The instantiator 'os\.system'"):
        open_run(run.folder)


class Touch:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize(
    "loader",
    [
        "project.classifier.Classifier.load_from_checkpoint",
        "lightning.pytorch.LightningModule.load_from_checkpoint",
        "lightning.pytorch.core.saving._load_from_checkpoint",
    ],
)
def test_a_checkpoint_cannot_have_a_second_one_unpickled(train, short, tmp_path, loader):
    run = train(*short)
    witness, second = tmp_path / "witness", run.folder / "second.ckpt"
    torch.save({"state_dict": {}, "more": Touch(witness)}, second)
    network = {"_target_": loader, "checkpoint_path": str(second), "weights_only": False}
    bad_checkpoint(run.best, lambda h: h.update({"network": network}))
    with pytest.raises(UsageError, match="not allowed"):
        open_run(run.folder)
    assert not witness.exists()


def test_a_checkpoint_that_asks_for_nonsense_is_told_in_one_line(train, short):
    run = train(*short)
    network = {"_target_": "torch.nn.Linear", "no_such": 1, "num_classes": 2}
    bad_checkpoint(run.best, lambda h: h.update({"network": network}))
    with pytest.raises(UsageError, match="not readable") as told:
        open_run(run.folder)
    assert "\n" not in str(told.value)


def test_a_checkpoint_with_a_pickled_object_is_refused(train, short):
    run = train(*short)
    content = torch.load(run.best, weights_only=True)
    content["hyper_parameters"]["network"] = Path("/")  # any object of a class will do
    torch.save(content, run.best)
    with pytest.raises(UsageError, match="more than tensors and plain values"):
        open_run(run.folder)


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
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1
    made = [path for path in tmp_path.rglob("*") if path not in before and path.is_file()]
    assert made == []
    assert not (tmp_path.parent / "out").exists()
