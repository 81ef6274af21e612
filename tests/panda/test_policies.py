"""What a run may do on its own: nothing by default, else what a person would, by the same edits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback, Trainer

from caviar.base import hydra_versions
from caviar.base.errors import UsageError
from caviar.panda.callback import Panda
from caviar.panda.files import read_status
from caviar.panda.inbox import ask
from caviar.panda.replay import compare
from caviar.runs.edits import in_force, read_edits
from project.train import CONFIGS, build
from project.train import train as train_once
from tests.panda.least_squares import descend

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
]

BOTH = ["halve_lr_on_plateau", "rollback_on_divergence"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_on_a_plateau_the_learning_rate_is_halved_and_what_follows_is_better(
    tmp_path: Path,
) -> None:
    without, _ = descend(tmp_path / "a", 2.0, 30)
    module, _ = descend(tmp_path / "b", 2.0, 30, auto=BOTH)
    assert without.losses[-1] == pytest.approx(without.losses[0])
    assert module.losses[-1] < 1e-6
    (edit, *_) = read_edits(tmp_path / "b")
    assert edit.changes == {"optimizer.lr": {"old": 2.0, "new": 1.0}}
    assert edit.who == "policy halve_lr_on_plateau"
    assert "the best training loss of the last 8 epochs is" in (edit.why or "")
    again, _ = descend(tmp_path / "c", 2.0, 30, replay=str(tmp_path / "b"))
    assert again.losses == module.losses


def test_on_divergence_it_returns_to_its_best_and_goes_on_with_half_the_learning_rate(
    tmp_path: Path,
) -> None:
    without, _ = descend(tmp_path / "a", 6.0, 12)
    module, _ = descend(tmp_path / "b", 6.0, 12, auto=BOTH)
    assert without.losses[-1] > 1e6
    assert module.losses[-1] < 1e-3
    edits = read_edits(tmp_path / "b")
    assert [edit.kind for edit in edits] == ["rollback", "set"] * 2
    assert [edit.changes["optimizer.lr"]["new"] for edit in edits[1::2]] == [3.0, 1.5]
    assert "the training loss rose to" in (edits[0].why or "")
    again, _ = descend(tmp_path / "c", 6.0, 12, replay=str(tmp_path / "b"))
    assert again.losses[-6:] == module.losses[-6:]
    assert len(again.losses) == 12 < len(module.losses)  # which has the parts that were undone
    assert [edit.edit for edit in in_force(edits)] == [4]


class Meddling(Callback):
    """Asks for a learning rate at which the training diverges."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_start(self, trainer: Trainer, *_: object) -> None:
        if trainer.current_epoch == 5 and not read_edits(self.folder):
            ask(self.folder, "set", changes={"optimizer.lr": 5.0})


def test_an_edit_that_makes_it_diverge_is_undone_and_no_more_is_changed(tmp_path: Path) -> None:
    module, panda = descend(tmp_path, 0.5, 14, Meddling(tmp_path), auto=BOTH)
    edits = read_edits(tmp_path)
    assert [(edit.kind, edit.who.split()[0]) for edit in edits[1:]] == [("rollback", "policy")]
    assert in_force(edits) == []
    assert panda.trainer.optimizers[0].param_groups[0]["lr"] == 0.5
    assert module.losses[-1] < 1e-5


def train(folder: Path, *overrides: str) -> None:
    folder.mkdir()
    hot = ("optimizer=sgd", "optimizer.lr=0.5", "optimizer.momentum=0.95")
    words = (f"dir='{folder}'", "panda='true'", "model.batch_norm=none", "trainer.max_epochs=5")
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        config = compose("train", overrides=[*words, *hot, "seed=1", *overrides])
    train_once(config, build(config))


def test_a_run_that_would_end_with_nan_is_saved_and_the_replay_is_the_same(tmp_path: Path) -> None:
    leaky = "model.activation=leaky_relu"
    with pytest.raises(FloatingPointError, match="train/loss is nan"):
        train(tmp_path / "a", leaky)
    assert read_edits(tmp_path / "a") == []
    assert read_status(tmp_path / "a")["state"] == "failed"
    train(tmp_path / "b", leaky, "panda.auto=[rollback_on_divergence]")
    edits = read_edits(tmp_path / "b")
    assert [edit.kind for edit in edits[:2]] == ["rollback", "set"]
    assert "is nan" in (edits[0].why or "")
    assert edits[1].changes["optimizer.lr"] == {"old": 0.5, "new": 0.25}
    train(tmp_path / "c", leaky, f"panda.replay='{tmp_path / 'b'}'")
    assert compare(tmp_path / "b", tmp_path / "c") == (5, None)


def test_what_cannot_be_saved_is_given_up_after_five_returns(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError):
        train(tmp_path / "a", "optimizer.lr=1e30", "panda.auto=[rollback_on_divergence]")
    edits = read_edits(tmp_path / "a")
    assert [edit.kind for edit in edits] == ["rollback", "set"] * 5
    assert edits[-1].changes["optimizer.lr"]["new"] == pytest.approx(1e30 / 2**5)


def test_policies_are_off_by_default_and_known_by_name(tmp_path: Path) -> None:
    module, panda = descend(tmp_path / "a", 3.0, 12)
    assert panda.editor.edits == []
    assert math.isfinite(module.losses[-1])
    with pytest.raises(UsageError, match="did you mean halve_lr_on_plateau"):
        Panda(str(tmp_path), auto=["halve_lr"])
