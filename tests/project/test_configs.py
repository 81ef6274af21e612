"""Claims about the config groups: every file of every group works."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import caviar
from project.check import check
from project.train import CONFIGS, build

GROUPS = {"data", "model", "optimizer", "scheduler", "trainer", "callbacks", "logger", "metrics"}


def names(group: str) -> list[str]:
    return sorted(p.stem for p in (CONFIGS / group).glob("*.yaml") if not p.stem.startswith("_"))


CHOICES = [f"{group}={name}" for group in sorted(GROUPS) for name in names(group)]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_builds(
    choice: str, compose_run: Callable[..., Any], table: Path
) -> None:
    more = [] if choice.startswith("data=") else ["data=synthetic"]
    if choice == "data=table":
        more = [f"data.path='{table}'", "data.target=kind"]
    if choice == "model=cnn":
        more = ["data=synthetic", "data.features=16"]  # images of 4 x 4 pixels
    if choice == "metrics=multilabel":
        # What its own task adds, and a softmax has not.
        named = OmegaConf.load(CONFIGS / "metrics/multilabel.yaml")
        more += [f"+metrics.{name}.num_labels=3" for name in named]
    config = compose_run(choice, *more)
    experiment: Any = build(config)
    x, y = experiment.data.parts.val
    assert experiment.module.predict_step(x)["classes"].shape == y.shape
    for callback in config.callbacks.values():
        caviar.instantiate(callback)


@pytest.mark.parametrize("name", names("optimizer"))
def test_every_optimizer_trains(
    name: str, train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    run = train(*short, f"optimizer={name}", "trainer.max_epochs=8")
    losses = [float(row["train/loss"]) for row in run.rows]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", names("scheduler"))
def test_every_scheduler_trains(
    name: str, train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    assert 0 <= train(*short, f"scheduler={name}", "scheduler.warmup_epochs=1").score <= 1


def test_groups_that_are_not_needed_may_be_left_out(
    train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    groups = ("~scheduler", "~callbacks", "~logger", "~metrics")
    run = train(*short, *groups, "metric=val/loss", "direction=minimize")
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "config.yaml",
        "preprocessing.json",
        "result.json",
    ]


def test_tensorboard_logs_beside_the_csv(train: Callable[..., Any], short: tuple[str, ...]) -> None:
    pytest.importorskip("tensorboard")
    run = train(*short, "logger=tensorboard")
    assert len(run.rows) == 2
    assert list((run.folder / "tensorboard").glob("events*"))


def test_a_logger_that_is_not_chosen_is_not_imported() -> None:
    code = (
        "import sys, project.classifier, caviar.lightning.loggers\n"
        "print(sorted({'wandb', 'mlflow', 'tensorboard'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_passes_its_check_and_runs_shortened(
    name: str, train: Callable[..., Any], compose_run: Callable[..., Any]
) -> None:
    check(compose_run(f"experiment={name}"))
    assert 0 <= train(f"experiment={name}", "trainer.max_epochs=1").score <= 1


@pytest.mark.parametrize("name", names("experiment"))
def test_an_experiment_chooses_its_groups_and_the_command_line_has_the_last_word(
    name: str, compose_run: Callable[..., Any]
) -> None:
    config = compose_run(f"experiment={name}", "optimizer.lr=0.123")
    assert config.optimizer.lr == 0.123


def test_the_spirals_experiment_parts_what_a_line_cannot(train: Callable[..., Any]) -> None:
    assert train("experiment=spirals_mlp").score > 0.97
    assert train("experiment=spirals_mlp", "model.depth=0").score < 0.7


@pytest.mark.parametrize("name", names("debug"))
def test_every_debug_run_trains_with_its_own_settings_and_scores(
    name: str, train: Callable[..., Any]
) -> None:
    run = train(f"debug={name}", "data=synthetic")
    assert 0 <= run.score <= 1
    assert len(run.rows) >= 1
    asked = OmegaConf.load(CONFIGS / "debug" / f"{name}.yaml")
    assert OmegaConf.merge(run.config, asked) == run.config


def test_overfit_reaches_100_percent_on_a_few_samples(train: Callable[..., Any]) -> None:
    assert train("debug=overfit").score == 1.0


def test_fast_takes_two_batches(train: Callable[..., Any]) -> None:
    assert [row["step"] for row in train("debug=fast").rows] == ["1"]


def test_interpolations_of_a_group_stay_within_the_run(compose_run: Callable[..., Any]) -> None:
    # So build(config) works without Hydra: only dir and outputs reach outside the config.
    config = compose_run()
    for group in sorted(GROUPS - {"callbacks", "logger"}):
        text = OmegaConf.to_yaml(config[group], resolve=False)
        assert "${hydra" not in text
        assert "${dir}" not in text
