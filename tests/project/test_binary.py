"""Claims about yes and no: two classes by one logit, labels by one each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.nn import functional

import caviar
from caviar import UsageError
from caviar.lightning.predict import predict
from project.binary import Binary
from project.check import check
from project.recipe import recipe
from project.train import build

Train = Callable[..., Any]
Compose = Callable[..., Any]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 2))
    columns = {
        "length": x[:, 0],
        "budget": x[:, 1],
        "seen": np.where(x[:, 0] > 1, "yes", "no"),
        "comedy": (x[:, 0] + 0.3 * draw.normal(size=200) > 0).astype(int),
        "drama": x[:, 1] > 0.8,
        "stars": draw.integers(1, 4, 200),
    }
    path = tmp_path / "films.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def words(films: Path, target: str, *more: str) -> tuple[str, ...]:
    others = [n for n in ("seen", "comedy", "drama", "stars") if n not in target]
    return (
        *("data=table", f"data.path='{films}'", f"data.target={target}"),
        *(f"data.ignore=[{','.join(others)}]", "trainer.max_epochs=5", *more),
    )


BINARY = ("seen", "task=binary")
LABELS = ("[comedy,drama]", "task=multilabel")


def module(outputs: int, **settings: Any) -> Binary:
    target = {"_target_": "project.models.mlp.MLP", "depth": 0, "in_features": 3}
    return Binary({**target, "num_classes": outputs}, {}, **settings)


def test_the_loss_is_that_of_torch_and_of_labels_the_mean() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 2), torch.randint(0, 2, (7, 2))
    weighted = module(2, pos_weight=[3.0, 0.5], labels=True).loss_per_sample(logits, labels)
    alone = [
        functional.binary_cross_entropy_with_logits(
            logits[:, i], labels[:, i].float(), pos_weight=torch.tensor(w), reduction="none"
        )
        for i, w in enumerate((3.0, 0.5))
    ]
    torch.testing.assert_close(weighted, torch.stack(alone).mean(0))
    one, classes = logits[:, :1], labels[:, 0]
    two = torch.cat(
        [torch.zeros(7, 1), one], dim=1
    )  # a softmax over 0 and the logit is its sigmoid
    wanted = functional.cross_entropy(two, classes, reduction="none")
    torch.testing.assert_close(module(1).loss_per_sample(one, classes), wanted)


@pytest.mark.parametrize(("target", "task"), [BINARY, LABELS])
def test_what_it_logs_is_what_scikit_learn_makes_of_its_predictions(
    target: str, task: str, train: Train, films: Path, tmp_path: Path
) -> None:
    run = train(*words(films, target, task, "test=true", "task.threshold=0.3"))
    frame = pd.read_csv(films)
    data: Any = build(run.config).data
    data.setup()
    predict(str(run.folder), str(films), str(tmp_path / "out.csv"))
    found = pd.read_csv(tmp_path / "out.csv")
    if task == "task=binary":
        assert list(found) == ["class", "probability_yes"]
        assert ((found["class"] == "yes") == (found["probability_yes"] >= 0.3)).all()
        probabilities = found[["probability_yes"]].to_numpy()
        answers = (frame[["seen"]] == "yes").to_numpy()
    else:
        assert list(found) == ["comedy", "drama", "probability_comedy", "probability_drama"]
        assert (found["comedy"] == (found["probability_comedy"] >= 0.3)).all()
        probabilities = found.iloc[:, 2:].to_numpy()
        answers = frame[["comedy", "drama"]].astype(bool).to_numpy()
    rows = data.data.split(
        (frame["seen"] == "yes").to_numpy().astype(np.int64)
        if task == "task=binary"
        else np.zeros(len(frame), np.int64)
    ).test
    for name, made_by in (("auroc", roc_auc_score), ("ap", average_precision_score)):
        each = [made_by(answers[rows, i], probabilities[rows, i]) for i in range(answers.shape[1])]
        assert run.facts["test"][f"test/{name}"] == pytest.approx(np.mean(each), abs=1e-5)
    right = ((probabilities >= 0.3) == answers)[rows].mean()
    assert run.facts["test"]["test/acc"] == pytest.approx(right, abs=1e-5)


def test_balanced_is_rows_without_over_rows_with_of_the_training_part(
    compose_run: Compose, films: Path
) -> None:
    made = build(compose_run(*words(films, *LABELS, "task.pos_weight=balanced")))
    y = made.data.parts.train[1]  # type: ignore[union-attr]
    assert y.shape[1] == 2
    torch.testing.assert_close(made.module.pos_weight, (1 - y).sum(0) / y.sum(0))  # type: ignore[arg-type]
    every = build(compose_run(*words(films, *LABELS, "task.pos_weight=2"))).module
    assert every.pos_weight.tolist() == [2, 2]  # type: ignore[union-attr]
    for bad in ("0", "[1]", "[1,-1]", "much"):
        with pytest.raises(UsageError, match=r"task\.pos_weight=.*must be null, balanced, a num"):
            build(compose_run(*words(films, *LABELS, f"task.pos_weight={bad}")))
    with pytest.raises(UsageError, match=r"task\.threshold=1: must be above 0 and below 1"):
        build(compose_run(*words(films, *BINARY, "task.threshold=1")))


WRONG = {
    (
        "[comedy,drama]",
        "task=classification",
    ): "a row may have several of them: add task=multilabel",
    ("[comedy,drama]", "task=regression", "data.task=null"): "several of them: add task=multilabel",
    ("[comedy,drama]", "task=binary"): "a row may have several of them: add task=multilabel",
    ("seen", "task=multilabel"): "2 classes, one a row, and this task is of labels",
    ("stars", "task=binary"): "it has 3 classes, one a row, and this task is of two classes",
    ("length", "task=binary"): "it is a number: add task=regression",
    ("[comedy,comedy]", "task=multilabel"): "data.target=comedy: is named twice",
    ("[comedy,seen]", "task=multilabel"): "row 1 of .* has '(yes|no)': a label is 0 or 1",
    ("[comedy,dramma]", "task=multilabel"): "did you mean drama",
    ("[]", "task=multilabel"): r"data\.target=\[\]: names no column",
    ("[comedy,drama]", "task=multilabel", "data.task=classification"): "data.target names 2",
}


@pytest.mark.parametrize(("typed", "line"), WRONG.items(), ids=map(" ".join, WRONG))
def test_a_target_that_the_task_cannot_learn_is_refused_before_anything_starts(
    typed: tuple[str, ...], line: str, compose_run: Compose, films: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        check(compose_run(*words(films, *typed)))


@pytest.mark.parametrize(
    ("target", "task"),
    [("[comedy,drama]", "classification"), ("[comedy,drama]", "binary"), ("stars", "binary"),
     ("seen", "multilabel"), ("[comedy,drama]", "regression")],
)  # fmt: skip
def test_lanes_and_a_trainer_refuse_it_too_where_nothing_was_checked(
    target: str, task: str, compose_run: Compose, films: Path
) -> None:
    config = compose_run(*words(films, target, f"task={task}", "data.task=null"))
    with pytest.raises(UsageError):
        build(config)
    made: Any = recipe(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    assert isinstance(made, caviar.Called)  # so the same code refuses it
    with pytest.raises(UsageError):
        made.make()


def test_a_table_says_what_its_target_was_taken_for(
    compose_run: Compose, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for target, task, line in (
        ("seen", "task=binary", "data.target=seen: 2 classes (no, yes): classification"),
        ("[comedy,drama]", "task=multilabel", "data.target=[comedy,drama]: 2 labels: multilabel"),
    ):
        check(compose_run(*words(films, target, task)))
        assert capsys.readouterr().err.splitlines()[0] == line
    check(compose_run(*words(films, "seen", "data.task=classification")))
    assert "data.target=seen: 2 classes" not in capsys.readouterr().err


def test_one_label_is_one_where_it_is_said_to_be(train: Train, films: Path) -> None:
    run = train(*words(films, "comedy", "task=multilabel", "data.task=multilabel"))
    assert run.score > 0.8
    listed = train(*words(films, "[comedy]", "task=multilabel"))
    assert listed.metrics == run.metrics


def test_labels_are_folded(train: Train, films: Path) -> None:
    assert len(train(*words(films, *LABELS, "data.folds=2")).facts["folds"]) == 2


def test_a_softmax_is_not_asked_for_what_only_it_has(compose_run: Compose, films: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.loss\.label_smoothing=0\.1: is of task=class"):
        build(compose_run(*words(films, *BINARY, "model.loss.label_smoothing=0.1")))
