"""A plain Lightning script, without Hydra and the project's package, is watched and steered like any."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caviar.panda.files import read_status
from caviar.runs.edits import read_edits
from tests import copies
from tests.waiting import until

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}

SCRIPT = """
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from caviar.panda.callback import Panda


class Plain(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        loss = ((self.net(batch[0]) - batch[1]) ** 2).mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.5)


torch.manual_seed(0)
x = torch.randn(64, 3)
Trainer(
    max_epochs=1_000_000,
    accelerator="cpu",
    callbacks=[Panda("here", train_loss="loss")],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
).fit(Plain(), DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8))
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "train.py").write_text(SCRIPT)
    process = copies.Popen(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.kill()
    process.wait()


def caviar(root: Path, *words: str) -> str:
    line = [sys.executable, "-m", "caviar.cli", *words]
    done = copies.run(
        line, cwd=root, env=ENV, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_plain_lightning_script_is_watched_edited_rolled_back_and_stopped(
    tmp_path: Path, script: subprocess.Popen[bytes]
) -> None:
    run = tmp_path / "here"
    until(
        lambda: (
            script.poll() is not None
            or ((run / "panda/status.json").exists() and read_status(run)["epoch"] > 2)
        ),
        "three epochs",
    )
    assert script.poll() is None
    told = caviar(tmp_path, "set", "here", "optimizer.lr=0.02", "model.dropout=0.2")
    assert "optimizer.lr 0.01 -> 0.02, model.dropout 0.1 -> 0.2" in told
    shown = caviar(tmp_path, "watch", "here", "--once")
    assert "loss" in shown
    assert "^1" in shown
    assert "optimizer.momentum=0.5" in shown
    assert "back to before edit 1" in caviar(tmp_path, "rollback", "here")
    assert read_status(run)["settings"]["optimizer.lr"] == 0.01
    assert "paused at epoch" in caviar(tmp_path, "pause", "here")
    assert "training at epoch" in caviar(tmp_path, "resume", "here")
    assert "stopped" in caviar(tmp_path, "stop", "here")
    assert script.wait(60) == 0
    assert [edit.kind for edit in read_edits(run)] == ["set", "rollback", "stop"]
    assert caviar(tmp_path, "watch", "here").endswith("here: ended\n")
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    # A row an epoch, without those that were undone.
    assert [int(row["epoch"]) for row in rows] == list(range(len(rows)))
    assert len(rows) == read_status(run)["vitals"]["epoch"] + 1
