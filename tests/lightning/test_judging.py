"""Claims about what a saved run says of its validation part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset

from caviar import UsageError
from caviar.lightning import judging
from caviar.runs.folder import Result

Train = Callable[..., Any]

SHORT = ("trainer.max_epochs=3", "data.batch_size=16")


def accuracy(found: dict[str, Any]) -> float:
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["samples"]
    return confusion.trace() / confusion.sum()


def test_the_matrix_of_classes_gives_the_score_that_the_run_has(train: Train) -> None:
    run = train("data=synthetic", "data.samples=200", *SHORT)
    found = judging.judge(run.folder)
    assert accuracy(found) == pytest.approx(Result.read(run.folder).facts["metrics"]["val/acc"])
    assert len(found["classes"]) == len(found["confusion"])
    bins = np.array(found["reliability"])
    assert bins[:, 2].sum() == found["samples"]
    # Of all bins together, the share that is right is the accuracy.
    assert (bins[:, 1] * bins[:, 2]).sum() / found["samples"] == pytest.approx(accuracy(found))


def test_two_classes_of_one_probability_are_a_matrix_too(train: Train, tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("x,y\n" + "".join(f"{i},{'yes' if i % 3 else 'no'}\n" for i in range(90)))
    table = ("data=table", f"data.path='{path}'", "data.target=y", "task=binary")
    run = train(*table, *SHORT, "metric=val/acc", "direction=maximize")
    found = judging.judge(run.folder)
    assert found["classes"] == ["no", "yes"]
    assert accuracy(found) == pytest.approx(Result.read(run.folder).value)


def test_residuals_of_a_regression_are_in_the_targets_own_unit(
    train: Train, tmp_path: Path
) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("x,y\n" + "".join(f"{i},{5000 + 100 * i}\n" for i in range(120)))
    table = ("data=table", f"data.path='{path}'", "data.target=y", "task=regression")
    run = train(*table, *SHORT, "metric=val/loss", "direction=minimize")
    found = judging.judge(run.folder)
    predicted, residual = np.array(found["residuals"]).T
    truth = predicted + residual
    assert truth.min() >= 5000 - 1e-3
    assert np.allclose(truth / 100, np.rint(truth / 100), atol=1e-3)
    mae = Result.read(run.folder).facts["metrics"]["val/mae"]
    assert np.abs(residual).mean() == pytest.approx(mae, rel=1e-4)


def test_too_much_to_look_at_is_refused_with_its_size(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train("data=synthetic", "data.samples=200", *SHORT)
    monkeypatch.setattr(judging, "LARGEST", 10)
    with pytest.raises(UsageError, match="more than 10 samples"):
        judging.judge(run.folder)
    monkeypatch.undo()
    monkeypatch.setattr(judging, "MOST_CLASSES", 1)
    with pytest.raises(UsageError, match="classes; a matrix of 1 at most"):
        judging.judge(run.folder)


class Silent(LightningModule):
    """Trains something, and measures it by nothing."""

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...


class Zeros(LightningDataModule):
    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.zeros(4, 1)))


def test_a_module_without_such_metrics_says_so() -> None:
    with pytest.raises(UsageError, match="Silent has no metric of one class a sample"):
        judging._predictions(Silent(), Zeros())
