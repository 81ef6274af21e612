"""Claims about one run: what it leaves, what it may not touch, and that it can be repeated."""

import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import open_dict

from caviar import Experiment, UsageError
from caviar.runs.active import ActiveRun, activate
from caviar.tables.split import stratified_split
from project.classifier import Classifier
from project.train import build, main
from tests import copies

Train = Callable[..., Any]


def test_the_default_run_reaches_97_percent_on_digits(train: Train) -> None:
    assert train().score >= 0.97


def test_the_score_is_the_metric_at_its_best_epoch_as_a_python_float(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(*short, "data.noise=0.8", "trainer.max_epochs=6")
    values = [float(row["val/acc"]) for row in run.rows]
    assert type(run.score) is float
    assert run.score == max(values)
    assert run.facts["best_epoch"] == values.index(max(values))  # the first of equals
    assert run.facts["metrics"]["val/acc"] == run.score
    assert run.facts["seed"] == 0
    assert run.facts["metric"] == "val/acc"
    assert (run.folder / run.facts["checkpoint"]).is_file()


def test_a_metric_may_be_minimised(train: Train, short: tuple[str, ...]) -> None:
    run = train(*short, "metric=val/loss", "direction=minimize", "trainer.max_epochs=4")
    assert run.score == min(float(row["val/loss"]) for row in run.rows)


def test_metrics_csv_has_one_row_an_epoch_and_nothing_lies_beside_it(
    train: Train, short: tuple[str, ...]
) -> None:
    run = train(*short, "trainer.max_epochs=3")
    assert [row["epoch"] for row in run.rows] == ["0", "1", "2"]
    assert list(run.rows[0])[:2] == ["epoch", "step"]
    assert all(value for row in run.rows for value in row.values())
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "metrics.csv",
        "preprocessing.json",
        "result.json",
    ]
    assert sorted(p.name for p in (run.folder / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]


def test_the_same_config_gives_bit_identical_metrics(train: Train, short: tuple[str, ...]) -> None:
    settings = (*short, "model.dropout=0.3", "data.noise=0.8")
    first = train(*settings)
    train(*settings, "seed=5", "optimizer=sgd", "model.depth=1")  # another run in between
    torch.rand(7)
    again = train(*settings)
    assert first.metrics == again.metrics


def test_seed_0_is_a_seed_and_another_seed_trains_otherwise(
    train: Train, short: tuple[str, ...]
) -> None:
    noisy = (*short, "data.noise=0.8")
    assert train(*noisy, "seed=0").metrics == train(*noisy).metrics
    assert train(*noisy, "seed=1").metrics != train(*noisy).metrics


def test_the_training_seed_and_the_split_seed_are_apart(
    compose_run: Callable[..., Any], short: tuple[str, ...]
) -> None:
    def parts(*overrides: str) -> Any:
        return build(compose_run(*short, *overrides))

    first, trained, split = parts(), parts("seed=1"), parts("data.split_seed=1")
    weights = [next(e.module.parameters()) for e in (first, trained, split)]
    x = [e.data.parts.train[0] for e in (first, trained, split)]
    assert x[0].equal(x[1])
    assert not x[0].equal(x[2])
    assert not weights[0].equal(weights[1])
    assert weights[0].equal(weights[2])


def test_a_run_leaves_no_state_behind(train: Train, short: tuple[str, ...]) -> None:
    logger = logging.getLogger("lightning.pytorch")

    def states() -> list[Any]:
        return [
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),  # type: ignore[union-attr]
            random.getstate(),
            list(logging.getLogger().handlers),
            logger.level,
            torch.are_deterministic_algorithms_enabled(),
        ]

    train(*short)
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    logger.setLevel(logging.INFO)
    before = states()
    train(*short)
    assert states() == before


def test_the_test_part_is_not_touched_by_training(train: Train, table: Path) -> None:
    settings = ("data=table", f"data.path='{table}'", "data.target=kind", "trainer.max_epochs=2")
    before = train(*settings)
    frame = pd.read_csv(table, dtype=str)
    labels = np.unique(frame.kind, return_inverse=True)[1]
    rows = stratified_split(labels, 0.15, 0.15, seed=0).test
    frame.loc[rows, "weight"] = "1e12"
    frame.loc[rows, "colour"] = "purple"
    frame.to_csv(table, index=False)
    after = train(*settings)
    assert after.metrics == before.metrics
    assert not any(name.startswith("test") for name in after.facts["metrics"])
    assert "tested" not in after.facts


def test_test_true_evaluates_the_best_checkpoint_once_and_records_it(
    train: Train, short: tuple[str, ...]
) -> None:
    noisy = (*short, "data.noise=0.8")
    plain, tested = train(*noisy), train(*noisy, "test=true")
    assert tested.facts["tested"] is True
    module = Classifier.load_from_checkpoint(tested.best, weights_only=True).eval()
    x, y = build(tested.config).data.parts.test  # type: ignore[attr-defined]
    loss = module.loss_per_sample(module(x), y).mean().item()
    assert tested.facts["test"]["test/loss"] == pytest.approx(loss)
    assert tested.metrics == plain.metrics
    assert tested.score == plain.score


def test_a_test_without_a_checkpoint_is_told(train: Train, short: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"test=True: needs callbacks\.checkpoint"):
        train(*short, "test=true", "callbacks.checkpoint=null")


def test_build_gives_an_experiment_without_a_run_folder(compose_run: Callable[..., Any]) -> None:
    config = compose_run("data=synthetic")
    with open_dict(config):
        del config.dir
    experiment = build(config)
    assert isinstance(experiment, Experiment)
    assert experiment.trainer["max_epochs"] == 20
    assert (experiment.metric, experiment.direction, experiment.seed) == ("val/acc", "maximize", 0)
    x, y = experiment.data.parts.train  # type: ignore[attr-defined]
    module: Any = experiment.module
    assert module.loss_per_sample(module(x), y).shape == (len(x),)


def test_a_loss_that_is_no_number_ends_the_run_with_a_clear_error(
    train: Train, short: tuple[str, ...]
) -> None:
    with pytest.raises(
        FloatingPointError, match=r"loss is (nan|inf) at epoch 0, step \d+: a lower"
    ):
        train(*short, "optimizer=sgd", "optimizer.lr=1e30", "model.batch_norm=none")


def test_without_the_guard_a_nan_metric_is_an_error_all_the_same(
    train: Train, short: tuple[str, ...]
) -> None:
    with pytest.raises(FloatingPointError, match="val/loss is nan at epoch"):
        train(
            *short,
            "optimizer=sgd",
            "optimizer.lr=1e30",
            "model.batch_norm=none",
            "callbacks.nan_guard=null",
            "metric=val/loss",
            "direction=minimize",
        )


def test_what_is_found_wrong_after_training_does_not_throw_it_away(tmp_path: Path) -> None:
    done = copies.run(
        [sys.executable, "-m", "project.train", "name=run", "trainer.max_epochs=1", "test=true",
         "callbacks.checkpoint.folder=${dir}/elsewhere"],
        env={**os.environ, "CAVIAR_OUTPUTS": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("error: ")) == (2, 1), done.stderr
    assert (tmp_path / "runs/run/metrics.csv").exists()


def test_a_metric_of_many_values_is_told(train: Train, short: tuple[str, ...]) -> None:
    per_class = "{_target_: torchmetrics.classification.MulticlassRecall, average: none}"
    with pytest.raises(UsageError, match=r"metrics\.recall=.*MulticlassRecall: gives 3 values"):
        train(*short, f"+metrics.recall={per_class}")


def test_a_training_may_be_measured_in_steps(train: Train, short: tuple[str, ...]) -> None:
    run = train(*short, "trainer.max_epochs=null", "+trainer.max_steps=20")
    assert int(run.rows[-1]["step"]) == 19


def test_a_run_without_validation_cannot_be_scored(train: Train, short: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="metric=val/acc: never logged"):
        train(*short, "+trainer.max_time=00:00:00:00")


def test_bad_input_is_told_before_anything_is_built(compose_run: Callable[..., Any]) -> None:
    config = compose_run("metric=val/accc")
    with (
        activate(ActiveRun(Path(config.dir))),
        pytest.raises(UsageError, match="metric=val/accc"),
    ):
        main(config)
    assert list(Path(config.dir).iterdir()) == []


def test_class_weights_may_be_balanced_and_targets_smoothed(
    compose_run: Callable[..., Any], short: tuple[str, ...]
) -> None:
    config = compose_run(
        *short, "model.loss.class_weights=balanced", "model.loss.label_smoothing=0.1"
    )
    module: Any = build(config).module
    torch.testing.assert_close(module.class_weights, torch.ones(3))
    assert module.label_smoothing == 0.1


def test_gradients_may_be_clipped(train: Train, short: tuple[str, ...]) -> None:
    run = train(
        *short,
        "optimizer=sgd",
        "optimizer.lr=1",
        "optimizer.momentum=0",
        "trainer.gradient_clip_val=1e-9",
    )
    losses = [float(row["val/loss"]) for row in run.rows]
    assert run.rows[0]["val/acc"] == run.rows[1]["val/acc"]
    assert losses[0] == pytest.approx(losses[1], abs=0.5)


def command(folder: Path, *words: str, new: bool = False) -> subprocess.CompletedProcess[str]:
    """Run it, as a copy (see `tests.copies`) or as a new interpreter, whose imports warn of nothing."""
    line = [sys.executable, "-W", "error", "-m", "project.train", *words]
    run = subprocess.run if new else copies.run
    return run(line, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_trains_from_any_folder_and_says_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    monkeypatch.setenv("CAVIAR_OUTPUTS", "")  # as if it were not set: not the root of all folders
    done = command(folder, "debug=fast", "name=first", new=True)
    assert done.returncode == 0
    assert done.stderr == ""
    summary, score = done.stdout[:-1].rsplit("\n", 1)
    assert "Trainable params" in summary
    assert score.startswith("val/acc=0.")
    run = folder / "outputs" / "runs" / "first"
    assert json.loads((run / "result.json").read_text())["best_epoch"] == 0


def test_a_name_that_no_command_would_find_again_leaves_nothing_behind(tmp_path: Path) -> None:
    for name in ("a b", "a/b", "-2", "n" * 300):
        done = command(tmp_path, "debug=fast", f"name='{name}'")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("error: name=")
        assert not list(tmp_path.glob("outputs/runs/*"))


def test_the_command_answers_bad_input_with_one_line_and_status_2(tmp_path: Path) -> None:
    done = command(tmp_path, "metric=val/accc", "name=bad")
    assert done.returncode == 2
    assert done.stderr.startswith("error: metric=val/accc: no such metric; did you mean val/acc?")
    assert done.stderr.count("\n") == 1
