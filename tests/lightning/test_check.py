"""What is told of any training's config before it begins."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch
import pytest

from caviar import UsageError
from caviar.lightning.callbacks.score import Score
from caviar.lightning.training import make_trainer
from project.check import check
from project.train import build
from tests import copies

Compose = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["+ckpt_pth=a.ckpt"],
            "+ckpt_pth=a.ckpt: nothing reads such a key; did you mean ckpt_path?",
        ),
        (["+mine.lr=1"], "+mine={'lr': 1}: nothing reads such a key"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(words: list[str], line: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "project.train", *words]
    done = copies.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("outputs/runs/*"))


def test_a_searched_key_that_nothing_reads_is_refused_and_one_that_is_referred_to_is_not(
    compose_run: Compose,
) -> None:
    with pytest.raises(UsageError, match=r"\+wide=32: nothing reads such a key"):
        check(compose_run("+wide=32"), {"+wide": [16, 32]})
    check(compose_run("+wide=32", "model.width=${wide}"), {"+wide": [16, 32]})
    check(compose_run("+candidate=1", "+trainer.max_steps=9"), {"+candidate": [1, 2]})


def test_a_warning_of_the_environment_is_no_error_of_the_trainers_settings(
    compose_run: Compose, short: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warns(*args: Any, **kwargs: Any) -> None:
        warnings.warn("something of this machine", UserWarning, stacklevel=1)

    monkeypatch.setattr("caviar.lightning.training.Trainer", warns)
    config = compose_run(*short)
    with pytest.raises(UserWarning, match="something of this machine"):  # an error, in these tests
        make_trainer(config, build(config), Score(["val/acc"], "maximize"))
    assert lightning.pytorch.Trainer is not warns


def test_weights_are_judged_without_training_where_a_checkpoint_is_named(
    train: Callable[..., Any], short: tuple[str, ...], compose_run: Compose
) -> None:
    run = train(*short, "test=true")
    judged = train(*short, f"ckpt_path='{run.best}'", "train=false", "test=true")
    assert judged.score == run.score
    assert judged.facts["test"] == run.facts["test"]
    with pytest.raises(UsageError, match=r"train=False: needs ckpt_path="):
        check(compose_run("train=false"))
