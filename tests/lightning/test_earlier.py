"""Runs that 0.2.0 made open again: what their configs name has moved since."""

import shutil
from pathlib import Path

import pytest
import torch

from caviar.lightning.saved import open_run
from caviar.runs.config import read_config
from caviar.runs.earlier import of_today

GOLDEN = Path(__file__).parents[1] / "golden/0.2.0/runs/cub"


def test_a_run_of_020_opens_and_its_network_computes(tmp_path: Path) -> None:
    run = tmp_path / "cub"
    shutil.copytree(GOLDEN, run)
    saved = open_run(run)
    x = torch.zeros(2, saved.data.num_features)
    found = saved.module.predict_step(x)  # type: ignore[call-arg]
    assert found["probabilities"].shape == (2, saved.data.num_classes)
    targets = {one["_target_"] for one in read_config(run).callbacks.values() if one}
    assert targets
    assert all(target.startswith("caviar.lightning.callbacks.") for target in targets)


@pytest.mark.parametrize("package", ["project", "pearls"])
def test_a_target_is_found_in_whatever_package_it_was(package: str) -> None:
    moved = {
        f"{package}.callbacks.checkpoint.BestAndLast": "caviar.lightning.callbacks.checkpoint.BestAndLast",
        f"{package}.loggers.MetricsCSV": "caviar.lightning.loggers.MetricsCSV",
        f"{package}.callbacks.progress_bar.progress_bar": (
            "caviar.lightning.callbacks.progress_bar.ProgressBar"
        ),
        f"{package}.schedulers.Cosine": "caviar.lightning.schedulers.Cosine",
        f"{package}.schedulers.Own": f"{package}.schedulers.Own",
        f"{package}.callbacks.mine.Own": f"{package}.callbacks.mine.Own",
        "torch.nn.ReLU": "torch.nn.ReLU",
    }
    for old, new in moved.items():
        assert of_today({"a": [{"_target_": old, "n": 1}]}) == {"a": [{"_target_": new, "n": 1}]}


def test_a_schedule_of_ones_own_stays_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corals").mkdir()
    (tmp_path / "corals/__init__.py").write_text("raise SystemExit('it was imported')")
    (tmp_path / "corals/schedulers.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    own = {"_target_": "corals.schedulers.Cosine"}
    assert of_today(own) == own
