"""A panda of a module that steps two optimizers itself: each has settings of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer

from caviar.base import security
from caviar.panda import settings
from caviar.runs.active import ActiveRun, activate
from project.train import build, main
from tests.lightning.test_any_module import MINE


class Edits(Callback):
    """Looks at the settings, and edits those of the second optimizer."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            self.before = settings.values(trainer)
            for key, value in {"optimizer.1.lr": 0.5, "optimizer.1.momentum": 0.9}.items():
                settings.find(key).put(trainer, settings.check(key, value))
            self.after = settings.values(trainer)


def test_settings_of_each_of_several_optimizers_are_edited_by_their_number(
    compose_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "ALLOWED", [*security.ALLOWED, "tests.lightning."])
    config = compose_run(*MINE, "model=two_players")
    edits = Edits()
    experiment = build(config)
    from caviar.lightning import fit

    fit(config, experiment, [edits])
    assert edits.before["optimizer.0.lr"] == 0.01
    assert edits.before["optimizer.1.lr"] == 0.001
    assert edits.after["optimizer.0.lr"] == 0.01
    assert edits.after["optimizer.1.lr"] == 0.5
    assert edits.after["optimizer.1.momentum"] == 0.9
    assert "optimizer.0.momentum" not in edits.before  # Adam has none


def test_it_is_watched_though_its_steps_return_nothing(
    compose_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "ALLOWED", [*security.ALLOWED, "tests.lightning."])
    config = compose_run(*MINE, "model=two_players", "panda='true'")
    with activate(ActiveRun(Path(config.dir))) as run:
        main(config)
    assert run.facts["panda"] is True
    assert (Path(config.dir) / "panda/status.json").is_file()
