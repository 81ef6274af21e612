"""Several scores: all of the epoch that is the best by the first, by a Trainer as on lanes."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caviar.reading.index import all_runs
from caviar.reading.select import in_order
from tests import copies

TWO = ("metric=[val/acc,val/loss]", "direction=[maximize,minimize]")


def test_all_scores_are_of_the_epoch_that_is_the_best_by_the_first(
    train: Callable[..., Any], short: tuple[str, ...]
) -> None:
    three = ("metric=[val/acc,val/loss,train/loss]", "direction=[maximize,minimize,minimize]")
    several = train(*short, "trainer.max_epochs=6", "callbacks=early_stopping", *three)
    one = train(*short, "trainer.max_epochs=6", "callbacks=early_stopping")
    best = several.rows[several.facts["best_epoch"]]
    assert several.facts["metric"] == ["val/acc", "val/loss", "train/loss"]
    assert several.score == [float(best[name]) for name in several.facts["metric"]]
    assert (several.score[0], several.facts["best_epoch"]) == (one.score, one.facts["best_epoch"])
    assert several.metrics == one.metrics


def test_folds_have_a_mean_of_each_score(train: Callable[..., Any], short: tuple[str, ...]) -> None:
    run = train(*short, "data.folds=2", *TWO)
    folds = [fold["score"] for fold in run.facts["folds"]]
    assert run.score == pytest.approx([sum(values) / 2 for values in zip(*folds, strict=True)])


@pytest.mark.parametrize("folds", ["null", "2"])
def test_a_sweep_of_two_objectives_is_on_lanes_what_a_trainer_gives_and_goes_on(
    folds: str, train: Callable[..., Any], short: tuple[str, ...], tmp_path: Path
) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = [*short, *TWO, f"data.folds={folds}", "model.dropout=0"]
    space = ["space=none", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "hydra.sweeper.n_trials=3"]
    words = [*run, *space, "engine=fused", "search=nsgaii", "name=two"]
    words += ["hydra.sweeper.executor.workers=1", "hydra.sweeper.executor.threads=1"]
    first = copies.run(
        [sys.executable, "-m", "project.train", "-m", *words],
        **{"cwd": tmp_path, "env": env, "text": True, "capture_output": True, "check": True},
    )
    assert "the Pareto front" in first.stdout
    sweep = tmp_path / "outputs/sweeps/two"
    resume = [sys.executable, "-m", "caviar.cli", "resume", str(sweep), "n_trials=4"]
    copies.run(resume, cwd=tmp_path, env=env, check=True, capture_output=True)
    results = [json.loads(file.read_text()) for file in sweep.glob("trials/*/result.json")]
    assert [result["state"] for result in results] == ["COMPLETE"] * 4
    assert {result["engine"] for result in (r["facts"] for r in results)} == {"fused"}
    one = results[0]
    again = train(*run, f"optimizer.lr={one['params']['optimizer.lr']}")
    assert one["value"] == pytest.approx(again.score, abs=1e-5)
    assert one["metric"] == ["val/acc", "val/loss"]
    rows = all_runs(tmp_path / "outputs")
    shown = in_order(rows.rows, rows, "best")
    front = shown[0].facts
    assert all(
        front["value_0"] > row.facts["value_0"] or front["value_1"] <= row.facts["value_1"]
        for row in shown
    )
