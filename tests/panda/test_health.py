"""Each check finds its illness in a real training that has it, and is silent in healthy ones."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback, Trainer
from typer.main import get_command

from caviar import cli
from caviar.base import hydra_versions
from caviar.panda import settings
from caviar.panda.checks.base import Finding
from caviar.panda.checks.registry import CAUSES, CHECKS, examine
from caviar.panda.files import FOLDER, read_health, read_status
from caviar.panda.health import Health
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History, Vitals
from project.train import CONFIGS, build
from project.train import train as train_once
from tests.panda.least_squares import descend

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
    pytest.mark.filterwarnings("ignore:Encountered `nan` values"),
]

SMALL = ("data=synthetic", "data.noise=0.3", "data.samples=400", "model.width=32")
OVERLAPPING = ("data=synthetic", "data.noise=0.9", "data.samples=400")
PLAIN_SGD = ("optimizer=sgd", "model.batch_norm=none", "callbacks.nan_guard=null")

Told = dict[str, dict[str, Any]]
"""Check -> the first time that it found something."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def train(folder: Path, *overrides: str) -> Told:
    """Train the project's MLP, every few steps looked at."""
    folder.mkdir(exist_ok=True)
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        words = [f"dir='{folder}'", "panda='true'", "+panda.share=1", "callbacks.checkpoint=null"]
        config = compose("train", overrides=[*words, *overrides])
    train_once(config, build(config))
    return told(folder)


def told(folder: Path) -> Told:
    return {one["check"]: one for one in reversed(read_health(folder)) if one["begins"]}


ILL = {
    "plateau": (*OVERLAPPING, "model.depth=0", "optimizer.lr=0.03", "trainer.max_epochs=30"),
    "overfitting": (
        *("data=synthetic", "data.noise=2", "data.features=20", "data.samples=200"),
        *("data.batch_size=32", "model.batch_norm=none", "optimizer.lr=1e-2"),
        "trainer.max_epochs=14",
    ),
    "underfitting": (*SMALL, "optimizer.lr=1e-6", "trainer.max_epochs=9"),
    "gradient_vanishing": (
        *(*SMALL, "model.depth=12", "model.activation=sigmoid", "model.batch_norm=none"),
        "trainer.max_epochs=2",
    ),
    "dead_units": (*PLAIN_SGD, "optimizer.lr=3", "trainer.max_epochs=3"),
    "update_ratio": (*SMALL, "optimizer.lr=3", "trainer.max_epochs=3"),
    "batch_norm_drift": ("model.batch_norm_momentum=1e-4", "trainer.max_epochs=4"),
}


@pytest.mark.parametrize("check", ILL)
def test_a_training_that_is_ill_is_told_so(tmp_path: Path, check: str) -> None:
    found = train(tmp_path / "run", *ILL[check])
    assert check in found, list(found)
    assert any(letter.isdigit() for letter in found[check]["sentence"])
    is_a_command(found[check]["remedy"], tmp_path / "run")


def test_a_step_too_small_is_told_as_well(tmp_path: Path) -> None:
    found = train(tmp_path / "run", *SMALL, "optimizer.lr=1e-9", "trainer.max_epochs=2")
    assert "optimizer.lr=1e-08" in found["update_ratio"]["remedy"]


def test_a_loss_that_is_no_number_is_told_with_and_without_a_guard(tmp_path: Path) -> None:
    ill = (*PLAIN_SGD, "optimizer.lr=1e20", "trainer.max_epochs=1")
    assert (
        "training loss is nan at epoch 0" in train(tmp_path / "a", *ill)["not_finite"]["sentence"]
    )
    with pytest.raises(FloatingPointError):
        train(
            tmp_path / "b",
            *(word for word in ill if "nan_guard" not in word),
            "callbacks.nan_guard.every_steps=1",
        )
    found = told(tmp_path / "b")["not_finite"]
    assert found["sentence"].startswith("train/loss is nan at epoch 0, step")
    assert "optimizer.lr=3.33e+19" in found["remedy"]
    assert read_status(tmp_path / "b")["findings"][0]["check"] == "not_finite"


def test_descent_with_too_long_steps_diverges_and_with_long_ones_does_not(tmp_path: Path) -> None:
    descend(tmp_path / "well", 1.8, 12)
    assert not told(tmp_path / "well").keys() & {"diverging", "gradient_exploding"}
    descend(tmp_path / "ill", 3.0, 8)
    found = told(tmp_path / "ill")
    assert "times its lowest" in found["diverging"]["sentence"]
    assert "optimizer.lr=1 " in found["diverging"]["remedy"]


def test_a_gradient_that_grows_thirtyfold_is_told_with_what_is_usual(tmp_path: Path) -> None:
    descend(tmp_path, 8.0, 6)
    found = told(tmp_path)["gradient_exploding"]
    assert "usually" in found["sentence"]
    assert "trainer.gradient_clip_val=" in found["remedy"]


class Slow(Callback):
    """From an epoch on, each batch takes long: as beside another process, or off a slow disk."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        time.sleep(0.4 if trainer.current_epoch >= 6 else 0.02)


def test_steps_that_become_slow_are_told_after_three_seconds(tmp_path: Path) -> None:
    descend(tmp_path, 0.1, 15, Slow())
    found = told(tmp_path)["throughput"]
    assert "steps a second" in found["sentence"]
    assert found["epoch"] >= 6 + 3


HEALTHY = (
    (),
    ("optimizer=sgd", "model.activation=gelu"),
    ("optimizer=adamw", "model.dropout=0.2", "model.depth=3"),
    ("optimizer=rmsprop", "scheduler=cosine"),
    ("model.batch_norm=none", "optimizer.lr=1e-3"),
    ("model.activation=tanh", "model.batch_norm=after", "model.loss.label_smoothing=0.1"),
)


@pytest.mark.parametrize("overrides", HEALTHY, ids=lambda words: " ".join(words) or "default")
def test_a_healthy_training_is_told_nothing(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    # What else this machine does is no illness of the training's, and throughput may tell of it.
    assert train(tmp_path, *overrides, "seed=7", "trainer.max_epochs=12").keys() <= {"throughput"}


# ---- at their borders, on curves that are made up


NOW = Remedies("cub", values=lambda: {"optimizer.lr": 0.01, "trainer.gradient_clip_val": None})


def history(
    train: list[float], val: list[float] | None = None, start: float = 2.0, **more: list[Any]
) -> History:
    epochs = [Vitals(i, steps=100 * (i + 1), train_loss=loss) for i, loss in enumerate(train)]
    looks = {"dead", "update_ratio", "shift", "spread", "gradients"} & more.keys()
    more = {"grad_norm": [1.0] * len(train) if looks else [], **more}
    for name, values in {"val_loss": val or [], **more}.items():
        for one, value in zip(epochs, values, strict=False):
            setattr(one, name, value)
    return History(epochs, start)


def names(seen: History) -> set[str]:
    return {one.check for one in examine(seen, NOW)}


FALLING = [2.0 * 0.8**i for i in range(20)]


@pytest.mark.parametrize(
    ("check", "ill", "well"),
    [
        ("not_finite", history([float("inf")]), history([1e30], start=1e30)),
        ("not_finite", history([1.0], [float("nan")]), history([1.0], [1.0])),
        # A fifth of what was gained (2 - 1) is given back.
        ("diverging", history([1.9, 1.0, 1.3, 1.51]), history([1.9, 1.0, 1.3, 1.49])),
        ("diverging", history([1.9, 1.0, 1.3, 1.6]), history([1.9, 1.0, 1.3, 1.6, 1.5])),
        ("diverging", history([1.9, 1.0, 5.0, 4.0]), history([1.9, 1.0, 5.0, 1.8])),
        ("diverging", history([1.9, 0.01, 0.2, 0.5]), history([1.9, 0.01, 0.015, 0.02])),
        ("plateau", history([1.0] * 9, [1.0] * 9), history([1.0] * 8, [1.0] * 8)),
        (
            "plateau",
            history([1.0] * 20, [1.0] * 12 + [0.991] * 8),
            history([1.0] * 20, [1.0] * 12 + [0.989] * 8),
        ),
        ("plateau", history([0.041] * 9), history([0.039] * 9)),
        ("plateau", history([1.0] * 9), history([1.0] * 9, annealed=[0.29] * 9)),
        (
            "overfitting",
            history(FALLING[:15], [1.0] * 10 + [1.21] * 5),
            history(FALLING[:15], [1.0] * 10 + [1.19] * 5),
        ),
        (
            "overfitting",
            history(FALLING[:15], [0.2] * 10 + [0.31] * 5),
            history(FALLING[:15], [0.2] * 10 + [0.29] * 5),
        ),
        (
            "overfitting",
            history(FALLING[:15], [1.0] * 10 + [1.5] * 5),
            history([1.0] * 15, [1.0] * 10 + [1.5] * 5),
        ),
        (
            "overfitting",  # what has not learned yet is not learning too much
            history([1.9 - 0.01 * i for i in range(15)], [1.0] * 10 + [1.5] * 5),
            history([4.0 - 0.01 * i for i in range(15)], [1.0] * 10 + [1.5] * 5),
        ),
        ("underfitting", history([1.41] * 8), history([1.39] * 8)),
        ("underfitting", history([4.0] * 8), history([4.0 - 0.2 * i for i in range(8)])),
        ("underfitting", history([1.9] * 8), history([1.99 - 0.05 * i for i in range(8)])),
        (
            "gradient_exploding",
            history([1.0] * 4, grad_norm=[1.0, 1.0, 1.0, 30.0]),
            history([1.0] * 4, grad_norm=[1.0, 1.0, 1.0, 29.0]),
        ),
        (
            "gradient_exploding",
            history([1.0], grad_norm=[2.0], gradients=[{"a": 2.0, "b": 1.9e-3}]),
            history([1.0], grad_norm=[2.0], gradients=[{"a": 2.0, "b": 2.1e-3}]),
        ),
        (
            "gradient_vanishing",
            history([1.0] * 2, gradients=[{"a": 0.9e-3, "b": 1.0}] * 2),
            history([1.0] * 2, gradients=[{"a": 1.1e-3, "b": 1.0}] * 2),
        ),
        (
            "gradient_vanishing",
            history([1.0] * 2, gradients=[{"a": 1e-7}] * 2),
            history([0.01] * 2, gradients=[{"a": 1e-7}] * 2),
        ),
        (
            "dead_units",
            history([1.0] * 2, dead=[{"a": 0.5}] * 2),
            history([1.0] * 2, dead=[{"a": 0.9}, {"a": 0.49}]),
        ),
        (
            "update_ratio",
            history([1.0] * 2, update_ratio=[{"a": 0.11}] * 2),
            history([1.0] * 2, update_ratio=[{"a": 0.5}, {"a": 0.09}]),
        ),
        (
            "update_ratio",
            history([1.0] * 2, update_ratio=[{"a": 9e-7}] * 2),
            history([1.0] * 2, update_ratio=[{"a": 9e-7}] * 2, annealed=[0.01] * 2),
        ),
        (
            "batch_norm_drift",
            history([1.0] * 2, shift=[{"a": 1.0}] * 2),
            history([1.0] * 2, shift=[{"a": 1.0}] * 2, steps=[20, 40]),
        ),
        (
            "batch_norm_drift",
            history([1.0] * 2, spread=[{"a": 0.49}] * 2),
            history([1.0] * 2, spread=[{"a": 0.51}] * 2),
        ),
        (
            "throughput",
            history([1.0] * 9, steps_per_second=[100.0] * 5 + [49.0] * 4, seconds=[1.0] * 9),
            history([1.0] * 9, steps_per_second=[100.0] * 7 + [49.0] * 2, seconds=[1.0] * 9),
        ),
    ],
)
def test_a_check_has_its_border_where_it_says(check: str, ill: History, well: History) -> None:
    assert check in names(ill)
    assert check not in names(well)


@pytest.mark.parametrize(
    "seen",
    [
        history([2.0] * 20, [2.0] * 20),  # never learned anything
        history([4.0] * 20, [4.0] * 20),  # nor kept what it began with
        history([1.0] * 16 + [1.4, 2.0, 4.0], [1.0] * 19),  # lost what it had learned
    ],
    ids=["at its start", "above its start", "diverging"],
)
def test_findings_of_one_training_do_not_contradict_one_another(seen: History) -> None:
    found = examine(seen, NOW)
    assert len(found) == 2
    assert len({one.remedy.partition("  #")[0] for one in found}) == 1, found


def test_a_loss_above_its_start_is_no_reason_for_a_higher_learning_rate() -> None:
    (found,) = examine(history([4.0] * 8), NOW)
    assert found.remedy.startswith("caviar set cub optimizer.lr=0.00333")


def test_what_learns_by_heart_is_not_told_to_be_regularised_less() -> None:
    seen = history([1.9 - 0.01 * i for i in range(15)], [1.0] * 10 + [1.5] * 5)
    assert names(seen) == {"overfitting"}


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        (("optimizer.lr=1e-5", "model.dropout=0.1"), "optimizer.lr=3e-05"),
        (("model.loss.label_smoothing=0.9",), "model.loss.label_smoothing=0"),
    ],
)
def test_what_holds_the_loss_up_is_what_is_to_be_changed(
    tmp_path: Path, overrides: tuple[str, ...], remedy: str
) -> None:
    found = train(tmp_path / "run", *overrides, "trainer.max_epochs=9")["underfitting"]
    assert f" {remedy} " in found["remedy"]


def test_a_training_whose_units_have_died_is_told_to_stop_and_nothing_else(tmp_path: Path) -> None:
    train(tmp_path / "run", *PLAIN_SGD, "optimizer.lr=1", "trainer.max_epochs=12")
    found = read_status(tmp_path / "run")["findings"]
    assert {"dead_units", "gradient_vanishing", "plateau"} <= {one["check"] for one in found}
    assert {one["remedy"].partition("  #")[0] for one in found} == {
        shlex.join(["caviar", "stop", str(tmp_path / "run")])
    }
    assert "begin again with a lower optimizer.lr" in str(found)


def test_a_loss_that_is_no_number_leaves_no_other_advice_standing(tmp_path: Path) -> None:
    health = Health(tmp_path, ("train/loss", "val/loss"), 0.01, True, lambda: NOW)
    (tmp_path / FOLDER).mkdir()
    health.findings = {"underfitting": Finding("underfitting", "", "caviar set cub optimizer.lr=3")}
    health.failed(FloatingPointError("train/loss is nan: lower the learning rate"))
    assert "lr=0.00333" in health.findings["underfitting"].remedy


def test_every_check_is_shown_a_real_illness_here() -> None:
    real = {"not_finite", "diverging", "gradient_exploding", "throughput", *ILL}
    assert real == CHECKS.keys() == {*CAUSES, "throughput"}


def test_a_history_is_the_same_after_a_checkpoint() -> None:
    seen = history([1.0] * 3, gradients=[{"a": 1.0}] * 3)
    assert History.of(seen.state()) == seen


def test_what_an_edit_began_is_undone_first() -> None:
    edited = Remedies("cub", values=NOW.values, edited=True)
    (found,) = examine(history([1.0, 5.0, 9.0, 20.0]), edited)
    assert found.remedy == "caviar rollback cub  # or caviar set cub optimizer.lr=0.00333"


def test_a_new_run_is_begun_as_this_one_was() -> None:
    started = ("python", "-m", "project.train", "optimizer.lr=1", "name=my cub")
    remedies = Remedies("cub", started, lambda: {"optimizer.lr": 1.0})
    (found,) = [f for f in examine(history([float("nan")]), remedies) if f.check == "not_finite"]
    assert found.remedy == (
        "python -m project.train 'name=my cub' optimizer.lr=0.333 trainer.gradient_clip_val=1"
    )


def is_a_command(line: str, run: Path) -> None:
    """What a shell would make of it is a command of ours for this run, which its parser takes."""
    words = shlex.split(line, comments=True)
    if words[0] == "top":
        return
    caviar, command, name, *values = words
    assert caviar == "caviar"
    assert name == str(run)
    known = get_command(cli.make_app()).commands  # type: ignore[attr-defined]
    assert command in known
    for value in values:
        settings.parse(*value.split("="))
