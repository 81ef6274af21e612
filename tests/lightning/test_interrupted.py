"""A training that is told to end leaves a checkpoint, and goes on from it as if it had never ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caviar import TrialInterrupted
from caviar.runs.active import ActiveRun, activate
from project.train import main

EPOCHS = 6
SETTINGS = {
    "no schedule": (),
    "cosine": ("scheduler=cosine",),
    "step": ("scheduler=step",),
    "exponential": ("scheduler=exponential",),
    "onecycle": ("scheduler=onecycle",),
    "plateau": ("scheduler=plateau", "scheduler.patience=0"),
    "early stopping": ("callbacks=early_stopping", "callbacks.early_stopping.patience=1"),
    "validation every other epoch": ("trainer.check_val_every_n_epoch=2",),
    "folds": ("data.folds=2",),
    "accumulated gradients": ("trainer.accumulate_grad_batches=3",),
    "batch norm": ("model.batch_norm=before",),
    "watched": ("panda='true'",),
}


@pytest.mark.parametrize("words", SETTINGS.values(), ids=SETTINGS)
def test_a_training_interrupted_at_every_epoch_has_the_curve_of_an_undisturbed_one(
    compose_run: Callable[..., Any], words: tuple[str, ...]
) -> None:
    setting = (
        *("data=synthetic", "data.samples=200", "data.noise=1.0", "model.width=8"),
        *("model.dropout=0.3", f"trainer.max_epochs={EPOCHS}", "optimizer.lr=0.1", *words),
    )
    whole, cut = compose_run(*setting), compose_run(*setting)
    with activate(ActiveRun(Path(whole.dir))) as undisturbed:
        score = main(whole)
    tries, resume_from = 0, None
    while True:
        tries += 1
        assert tries < 3 * EPOCHS, "it gets nowhere"
        # Asked while it builds, it would not come to an epoch.
        epochs = Epochs(Path(cut.dir))
        run = ActiveRun(Path(cut.dir), resume_from=resume_from, interrupted=epochs.one_more)
        try:
            with activate(run):
                again = main(cut)
            break
        except TrialInterrupted:
            resume_from = Path(cut.dir) / "checkpoints"
    assert tries > 2
    assert again == score
    for name in ("metrics", "best_epoch", "folds"):
        assert run.facts.get(name) == undisturbed.facts.get(name)
    curves = sorted(file.relative_to(whole.dir) for file in Path(whole.dir).rglob("metrics.csv"))
    assert curves
    for curve in curves:
        assert Path(cut.dir, curve).read_text() == Path(whole.dir, curve).read_text()
    for file in Path(whole.dir).rglob("*.ckpt"):
        if "panda" in file.parts:
            continue
        ours = torch.load(Path(cut.dir, file.relative_to(whole.dir)), weights_only=True)
        theirs = torch.load(file, weights_only=True)
        for key, value in theirs["state_dict"].items():
            assert torch.equal(ours["state_dict"][key], value), (file.name, key)
    left = [file.name for file in Path(cut.dir).rglob("*") if ".partial" in file.name]
    assert left == []


class Epochs:
    """Counts the rows that a training has logged since this was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._rows()

    def _rows(self) -> int:
        return sum(f.read_text().count("\n") for f in self._folder.rglob("metrics.csv"))

    def one_more(self) -> bool:
        return self._rows() > self._before
