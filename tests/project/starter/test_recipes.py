"""One contract for all that this project trains: every recipe of ``configs/experiment``, and the default.

A model or a data set of your own is in it as soon as an experiment names it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from caviar.base.security import allow
from project.train import CONFIGS, build, train

RECIPES = ["default", *sorted(file.stem for file in Path(CONFIGS, "experiment").glob("*.yaml"))]

QUICK = ("trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer.accelerator=cpu")

Composed = Callable[..., DictConfig]


@pytest.fixture
def composed(tmp_path: Path) -> Composed:
    """The config of a recipe, for a run in a new folder, with further overrides."""
    folders = (tmp_path / str(number) for number in range(1000))

    def config(recipe: str, *overrides: str) -> DictConfig:
        folder = next(folders)
        folder.mkdir()
        chosen = [] if recipe == "default" else [f"experiment={recipe}"]
        words = [*chosen, f"dir='{folder}'", f"outputs='{tmp_path}'", *overrides]
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            made = compose("train", overrides=words)
        allow(made.get("allow"))
        return made

    return config


def scores(config: DictConfig) -> list[float]:
    """The score, or the scores, of a training."""
    score: Any = train(config, build(config))
    return list(score) if isinstance(score, list) else [score]


def rows(config: DictConfig) -> list[dict[str, str]]:
    with open(Path(config.dir, "metrics.csv")) as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_trains_to_a_score_that_the_same_seed_gives_again(
    recipe: str, composed: Composed
) -> None:
    first, again = composed(recipe, *QUICK), composed(recipe, *QUICK)
    score = scores(first)
    assert all(map(math.isfinite, score))
    assert scores(again) == score
    assert rows(again) == rows(first)


@pytest.mark.parametrize("recipe", RECIPES)
def test_its_checkpoint_opens_again_to_the_same_score(recipe: str, composed: Composed) -> None:
    trained = composed(recipe, *QUICK)
    score = scores(trained)
    best = Path(trained.dir, "checkpoints/best.ckpt")
    opened = [composed(recipe, *QUICK, f"ckpt_path='{best}'", "train=false") for _ in range(2)]
    first, second = map(scores, opened)
    assert first == second
    assert first == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_and_validation_share_no_batch_and_validation_is_in_order(
    recipe: str, composed: Composed
) -> None:
    data: Any = build(composed(recipe, *QUICK)).data
    data.prepare_data()
    data.setup("fit")
    seen = [repr(batch) for batch in data.val_dataloader()]
    assert seen
    assert seen == [repr(batch) for batch in data.val_dataloader()]
    assert not set(seen) & {repr(batch) for batch in data.train_dataloader()}


@pytest.mark.parametrize(
    "choice",
    [
        f"{group}={file.stem}"
        for group in ("model", "data", "metrics", "optimizer", "scheduler")
        for file in sorted(Path(CONFIGS, group).glob("*.yaml"))
        if not file.stem.startswith("_")
    ],
)
def test_every_choice_composes(choice: str, composed: Composed) -> None:
    config = composed("default", choice)
    assert OmegaConf.select(config, choice.partition("=")[0])
