"""What the project's tests share: composing a config, and calling the task as a worker does."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from caviar.base import hydra_versions
from caviar.runs.active import ActiveRun, activate
from caviar.runs.config import resolved
from caviar.runs.folder import CONFIG, Result
from caviar.runs.text import to_yaml
from project.train import CONFIGS, main

Compose = Callable[..., DictConfig]


@dataclass
class Run:
    """A run that has ended: its folder, its score and what it recorded."""

    folder: Path
    config: DictConfig
    score: float
    facts: dict[str, Any]

    @property
    def metrics(self) -> str:
        return (self.folder / "metrics.csv").read_text()

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.metrics.splitlines()))

    @property
    def best(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def compose_run(tmp_path: Path) -> Compose:
    """Compose the entry config, for a run in a folder that is made for it."""
    count = iter(range(1000))

    def composed(*overrides: str) -> DictConfig:
        folder = tmp_path / f"run-{next(count)}"
        folder.mkdir()
        with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
            return compose(
                "train", overrides=[f"dir='{folder}'", f"outputs='{tmp_path}'", *overrides]
            )

    return composed


@pytest.fixture
def train(compose_run: Compose) -> Callable[..., Run]:
    """Train once, as a worker does: the task function in a run folder, which is then complete."""

    def trained(*overrides: str) -> Run:
        config = compose_run(*overrides)
        folder = Path(config.dir)
        (folder / CONFIG).write_text(to_yaml(resolved(config)))
        with activate(ActiveRun(folder)) as active:
            score = main(config)
        result = Result(state="COMPLETE", value=score)
        result.take(active.facts)
        result.write(folder)
        return Run(folder, config, score, active.facts)

    return trained


SHORT = ("data=synthetic", "data.samples=120", "trainer.max_epochs=2", "model.width=8")
"""A run of a few milliseconds."""


@pytest.fixture
def short() -> tuple[str, ...]:
    return SHORT


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A made-up table: numbers, categories and codes, with gaps in both; three named classes."""
    path = tmp_path / "shells.csv"
    lines = ["id,weight,colour,code,broken,kind"]
    kinds = ["clam", "mussel", "oyster"]
    for i in range(150):
        kind = i % 3
        weight = "" if i % 13 == 0 else f"{10 * kind + (i % 7) / 7:.3f}"
        colour = "" if i % 17 == 0 else ["grey", "blue", "white"][(kind + (i % 11 == 0)) % 3]
        lines.append(f"{i},{weight},{colour},{i % 4:02d},{i % 5 == 0},{kinds[kind]}")
    path.write_text("\n".join(lines) + "\n")
    return path
