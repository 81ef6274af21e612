"""Claims about regression: a number of a table, in its own unit from the file to the prediction."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import caviar
from caviar import UsageError
from caviar.lightning.predict import predict
from caviar.lightning.testing import test as evaluate
from caviar.tables.target import task_of
from project.check import check, task_words
from project.recipe import recipe
from project.train import build
from tests import copies

Train = Callable[..., Any]


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """Prices far from 0: 300,000 and 1,000 for each square metre, and a little noise."""
    rng = np.random.default_rng(0)
    size = rng.uniform(20, 200, 300)
    price = 300_000 + 1_000 * size + rng.normal(0, 2_000, 300)
    path = tmp_path / "houses.csv"
    pd.DataFrame({"size": size, "noise": rng.normal(size=300), "price": price.round(2)}).to_csv(
        path, index=False
    )
    return path


def words(houses: Path, *more: str) -> tuple[str, ...]:
    return (
        "data=table", f"data.path='{houses}'", "data.target=price", "task=regression",
        "model.depth=0", "optimizer.lr=0.1", "trainer.max_epochs=30", *more,
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_a_line_is_learnt_to_its_noise_and_told_in_the_targets_unit(
    loss: str, train: Train, houses: Path, tmp_path: Path
) -> None:
    run = train(*words(houses, f"task.loss={loss}", "test=true"))
    assert run.score == run.facts["metrics"]["val/rmse"]
    assert 1_500 < run.score < 3_500  # the noise is 2,000
    assert run.facts["metrics"]["val/r2"] > 0.99
    assert evaluate(str(run.folder)) == pytest.approx(run.facts["test"])
    frame = pd.read_csv(houses)
    houses.unlink()  # a prediction needs the run's folder alone
    frame.drop(columns="price").to_csv(tmp_path / "new.csv", index=False)
    predict(str(run.folder), str(tmp_path / "new.csv"), str(tmp_path / "out.csv"))
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found) == ["prediction"]
    away = found["prediction"] - frame["price"]
    assert np.sqrt(np.mean(away**2)) < 3_500


def test_what_standardises_the_target_is_of_the_training_part(
    compose_run: Callable[..., Any], houses: Path
) -> None:
    experiment = build(compose_run(*words(houses)))
    data: Any = experiment.data
    y = data.parts.train[1]
    assert y.dtype == torch.float32
    assert y.mean().item() == pytest.approx(0, abs=1e-5)
    assert y.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    module: Any = experiment.module
    assert (module.mean, module.scale) == tuple(data.parts.preprocessing.number)


def test_the_targets_kind_decides_the_task_and_a_wrong_one_is_told_before_anything_starts(
    compose_run: Callable[..., Any], houses: Path
) -> None:
    text = pd.Series(["1", "2"] * 20)
    import pyarrow as pa

    assert task_of(pa.array(text), None, 0.15, 0.15) == "classification"
    assert task_of(pa.array([*text, "2.5"]), None, 0.15, 0.15) == "regression"
    assert task_of(pa.array([*text, "x"]), None, 0.15, 0.15) == "classification"
    table = words(houses)[:3]
    with pytest.raises(
        UsageError, match=r"data\.target=price: it is a number: add task=regression"
    ):
        check(compose_run(*table))
    with pytest.raises(UsageError, match=r"class \S+ has 1 rows"):
        check(compose_run(*table, "data.task=classification"))
    with pytest.raises(UsageError, match=r"model\.loss\.label_smoothing=0\.1: is of classes"):
        build(compose_run(*words(houses), "model.loss.label_smoothing=0.1"))


KINDS = {
    "data.target=price": ["task=regression"],
    "data.target=[old,large]": ["task=multilabel"],
    "data.target=old": [],
    "data.target=town": [],
    "data.target=price task=regression": [],  # chosen already
    "data.target=price data.task=classification": [],
    "data.target=price model=cnn": ["task=regression"],
    "data.target=???": [],
    "data.target=choice(price,old)": [],  # what a sweep gives is looked at by its check
}


@pytest.mark.parametrize("said", KINDS)
def test_the_kind_of_the_target_chooses_the_task_where_nobody_has(
    compose_run: Callable[..., Any], tmp_path: Path, capsys: Any, said: str
) -> None:
    rng = np.random.default_rng(0)
    columns = {"price": rng.normal(size=60).round(4), "size": rng.normal(size=60)}
    columns |= {name: rng.integers(0, 2, 60) for name in ("old", "large")}
    frame = pd.DataFrame(columns).assign(town=["york", "bath", "hull"] * 20)
    frame.to_csv(tmp_path / "houses.csv", index=False)
    typed = ["data=table", f"data.path='{tmp_path / 'houses.csv'}'", *said.split()]
    fixed = [word for word in typed if "choice(" not in word]
    added = task_words(typed, lambda: compose_run(*fixed))
    assert added == KINDS[said]
    told = capsys.readouterr().err
    assert told.startswith(f"{added[0]} for data.target=") if added else told == ""


def test_a_table_of_numbers_trains_sweeps_and_resumes_without_a_word_on_its_task(
    houses: Path, tmp_path: Path
) -> None:
    table = ["data=table", f"data.path={houses}", "data.target=price", "trainer.max_epochs=2"]

    def project(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "project.train", *words]
        done = copies.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "task=regression for data.target=price: a number" in done.stderr
        return done

    run = tmp_path / "outputs" / "runs" / "one"
    project(*table, "name=one")
    assert "task=regression" in yaml.safe_load((run / "overrides.yaml").read_text())
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["metric"], config["data"]["task"]) == ("val/rmse", "regression")
    swept = "name=some hydra.sweeper.n_trials=3 optimizer.lr=interval(0.001,0.1) space=none"
    done = project(*swept.split(), *table, "-m")
    assert "3 complete" in done.stdout + done.stderr


def test_lanes_call_it(compose_run: Callable[..., Any], houses: Path) -> None:
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(compose_run(*words(houses)), resolve=True)
    assert isinstance(recipe(config), caviar.Called)  # type: ignore[arg-type]


def test_folds_are_of_one_size(train: Train, houses: Path) -> None:
    run = train(*words(houses, "data.folds=3", "trainer.max_epochs=10"))
    assert len(run.facts["folds"]) == 3
    assert run.facts["metrics"]["val/rmse"] == pytest.approx(run.score)
