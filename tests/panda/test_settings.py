"""Every setting that may be edited does, once edited, what it does in a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from caviar.base import hydra_versions
from caviar.panda.inbox import ASKED, ask
from caviar.panda.settings import SETTINGS
from caviar.runs.edits import read_edits
from project.train import CONFIGS, build
from project.train import train as train_once

SMALL = ("data=synthetic", "data.samples=200", "data.noise=0.9", "model.width=8")
SHORT = ("trainer.max_epochs=3", "callbacks.checkpoint=null", "panda='true'")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def train(folder: Path, *overrides: str, **changes: Any) -> tuple[list[torch.Tensor], str]:
    """Train with edits that are made before the first step; the weights and the metrics."""
    asked = folder / "panda" / ASKED
    asked.mkdir(parents=True)
    if changes:
        ask(folder, "set", changes=changes)
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        config = compose("train", overrides=[f"dir='{folder}'", *SMALL, *SHORT, *overrides])
    experiment = build(config)
    train_once(config, experiment)
    assert list(asked.iterdir()) == []
    assert [edit.at for edit in read_edits(folder)] == [(0, 0)] * bool(changes)
    metrics = (folder / "metrics.csv").read_text()
    return [p.detach() for p in experiment.module.parameters()], metrics


EDITS: dict[str, tuple[float, tuple[str, ...]]] = {
    "optimizer.lr": (0.02, ("scheduler=cosine",)),
    "optimizer.momentum": (0.5, ("optimizer=sgd",)),
    "optimizer.beta1": (0.5, ()),
    "optimizer.beta2": (0.9, ()),
    "optimizer.weight_decay": (0.3, ()),
    "model.dropout": (0.4, ("model.dropout=0.1",)),
    "model.loss.label_smoothing": (0.2, ()),
    "trainer.gradient_clip_val": (0.05, ("optimizer=sgd",)),
    "trainer.max_epochs": (5, ()),
}


@pytest.mark.parametrize("key", EDITS)
def test_an_edit_before_the_first_step_is_the_config_with_that_value(
    tmp_path: Path, key: str
) -> None:
    value, overrides = EDITS[key]
    weights, metrics = train(tmp_path / "edited", *overrides, **{key: value})
    as_configured = train(tmp_path / "configured", *overrides, f"{key}={value}")
    before, _ = train(tmp_path / "before", *overrides)
    assert metrics == as_configured[1]
    assert all(torch.equal(a, b) for a, b in zip(weights, as_configured[0], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))


def test_every_setting_is_tried_here() -> None:
    assert EDITS.keys() == SETTINGS.keys()
