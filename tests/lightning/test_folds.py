"""Claims about k-fold: every row validates once, the test part is untouched, the score is the mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

import caviar
from caviar import UsageError
from caviar.lightning.folds import mean_over_folds
from caviar.lightning.saved import open_run
from caviar.runs.active import ActiveRun, activate
from caviar.tables.split import fold_split, stratified_split
from project.train import build
from tests import copies


@given(
    counts=st.lists(st.integers(12, 60), min_size=2, max_size=4),
    folds=st.integers(2, 8),
    seed=st.integers(0, 10**6),
)
def test_every_row_validates_once_and_the_test_part_is_that_without_folds(
    counts: list[int], folds: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    splits = [fold_split(labels, 0.15, 0.15, seed, folds, fold) for fold in range(folds)]
    test = np.sort(stratified_split(labels, 0.15, 0.15, seed).test)
    validated = np.concatenate([split.val for split in splits])
    assert sorted([*validated, *test]) == list(range(len(labels)))
    sizes = [len(split.val) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        assert np.array_equal(np.sort(split.test), test)
        whole = np.concatenate([split.train, split.val, split.test])
        assert sorted(whole) == list(range(len(labels)))
        shares = np.bincount(labels[split.val], minlength=len(counts))
        everywhere = np.bincount(labels[validated], minlength=len(counts)) / folds
        assert (np.abs(shares - everywhere) < 1).all()


def test_a_class_too_small_for_the_folds_is_told() -> None:
    labels = np.repeat([0, 1], [50, 5])
    with pytest.raises(UsageError, match=r"data\.folds=5: class 1 has 4 samples"):
        fold_split(labels, 0.15, 0.15, 0, 5, 0)


def test_the_score_is_the_mean_over_folds_and_each_is_recorded(train, short, caplog) -> None:
    caplog.set_level("INFO")
    run = train(*short, "data.noise=0.8", "data.folds=3")
    assert f"val/acc={run.score:.4f}, the mean over 3 folds" in caplog.text
    with pytest.raises(UsageError, match="it is 3 models, one a fold"):
        open_run(run.folder)
    folds = run.facts["folds"]
    assert len(folds) == 3
    assert run.score == pytest.approx(np.mean([fold["score"] for fold in folds]))
    assert run.facts["metrics"]["val/acc"] == pytest.approx(run.score)
    assert len({fold["score"] for fold in folds}) > 1
    assert "checkpoint" not in run.facts
    for number, fold in enumerate(folds):
        assert (run.folder / fold["checkpoint"]).is_file()
        assert (run.folder / f"fold-{number}" / "metrics.csv").is_file()
    assert "tested" not in run.facts


def test_the_test_part_is_evaluated_by_every_folds_model_and_averaged(train, short) -> None:
    run = train(*short, "data.noise=0.8", "data.folds=2", "test=true")
    assert run.facts["tested"] is True
    each = [fold["test"]["test/loss"] for fold in run.facts["folds"]]
    assert run.facts["test"]["test/loss"] == pytest.approx(np.mean(each))


def test_preprocessing_is_learnt_from_each_folds_training_part(compose_run, table: Path) -> None:
    words = ("data=table", f"data.path='{table}'", "data.target=kind", "data.folds=3")
    learnt = [
        build(compose_run(*words, f"+data.fold={fold}")).data.parts.preprocessing  # type: ignore[attr-defined]
        for fold in range(3)
    ]
    assert len({one.columns[0].mean for one in learnt}) == 3


def test_a_bare_build_asks_which_fold(compose_run, short) -> None:
    with pytest.raises(UsageError, match=r"data\.folds=3: .* data\.fold=0"):
        build(compose_run(*short, "data.folds=3"))


def test_what_folds_cannot_go_with_is_told(train, short) -> None:
    for words, told in (
        (["data.folds=1"], "data.folds=1: must be 2 or more"),
        (["data.folds=2", "data.overfit=16"], "data.folds=2: there is nothing to fold"),
    ):
        with pytest.raises(UsageError) as error:
            train(*short, *words)
        assert told in str(error.value)


def test_a_trial_tried_again_goes_on_with_the_fold_that_it_was_at(tmp_path: Path) -> None:
    trained: list[str] = []

    def train(config: DictConfig) -> float:
        trained.append(f"{Path(config.dir).parent.name}/{config.data.fold}")
        if trained == ["first/0", "first/1"]:
            raise ConnectionError("the worker is gone")
        caviar.record(metrics={"val/acc": config.data.fold}, best_epoch=3)
        return float(config.data.fold)

    def run(name: str, resume_from: Path | None = None) -> tuple[float, dict[str, Any]]:
        folder = tmp_path / name
        folder.mkdir()
        config = OmegaConf.create(
            {"dir": str(folder), "data": {"folds": 3}, "metric": "val/acc", "seed": 1}
        )
        with activate(ActiveRun(folder, resume_from=resume_from)) as active:
            return mean_over_folds(config, train), active.facts

    with pytest.raises(ConnectionError):
        run("first")
    score, facts = run("second", tmp_path / "first" / "checkpoints")
    assert trained == ["first/0", "first/1", "second/1", "second/2"]
    assert score == 1.0
    assert [fold["score"] for fold in facts["folds"]] == [0.0, 1.0, 2.0]
    assert (tmp_path / "second" / "fold-0" / "fold.json").is_file()


@pytest.mark.parametrize("how", ["executor=inline", "engine=fused"])
def test_a_sweep_scores_its_trials_by_folds(how: str, tmp_path: Path, short) -> None:
    line = [sys.executable, "-m", "project.train", "-m", *short, "data.folds=2", "name=k"]
    line += ["hydra.sweeper.n_trials=2", how]
    done = copies.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "outputs" / "sweeps" / "k" / "trials").glob("*/result.json"))
    results = [json.loads(file.read_text()) for file in files]
    assert len(results) == 2
    for result in results:
        scores = [fold["score"] for fold in result["facts"]["folds"]]
        assert result["value"] == pytest.approx(np.mean(scores))
