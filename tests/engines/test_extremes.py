"""At the extremes, where numbers overflow or settings cannot work, a lane ends as solo does."""

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from caviar.base.errors import name_and_text
from caviar.base.messages import Failed, Finished
from caviar.engines.lanes.stack import Stack
from caviar.engines.native.loop import Native
from caviar.engines.solo import Solo
from caviar.runs.active import ActiveRun, activate
from caviar.runs.text import csv_text
from project.train import build, main, train
from tests.engines.lanes import config_in, training
from tests.engines.test_engine import Jobs, jobs, result, serve

__all__ = ["jobs"]  # the fixture

DOUBLE = "trainer.precision=64-true"
PLAIN = ("optimizer=sgd", "model.batch_norm=none")
NO_GUARD = "callbacks.nan_guard=null"
BY_LOSS = ("metric=val/loss", "direction=minimize")

FINITE = {
    "sgd, rate 100": (DOUBLE, *PLAIN, "optimizer.lr=100"),
    "sgd, rate 100, batch norm": (DOUBLE, "optimizer=sgd", "optimizer.lr=100"),
    "sgd, rate 1e37, single": (*PLAIN, "optimizer.lr=1e37", "model.depth=0", NO_GUARD, *BY_LOSS),
    "clipped, rate 1e10": (*PLAIN, "optimizer.lr=1e10", "trainer.gradient_clip_val=1"),
    "adam, rate 10": (DOUBLE, "optimizer.lr=10"),
    "adam, rate 1e38": (DOUBLE, "optimizer.lr=1e38", *BY_LOSS),
    "rmsprop, rate 10": (DOUBLE, "optimizer=rmsprop", "optimizer.lr=10"),
    "momentum near 1": ("optimizer=sgd", "optimizer.momentum=0.9999999999"),
    "betas near 1": ("optimizer.beta1=0.9999999", "optimizer.beta2=0.99999999"),
    "betas of 0": ("optimizer.beta1=0", "optimizer.beta2=0"),
    "hardly any batch norm momentum": ("model.batch_norm_momentum=1e-12",),
    "one batch of all there is": ("data.batch_size=1000", "data.drop_last=true"),
    "huge data": (DOUBLE, "data.noise=1e30"),
    "huge data, no batch norm": (DOUBLE, *PLAIN, "model.depth=0", "data.noise=1e30"),
}
"""Trainings that get through. Of numbers this large single precision leaves little to compare, where
they are chaotic: that is done in double."""

FAILING = {
    "adam, rate 1e38": ("optimizer.lr=1e38",),
    "no batch norm": (*PLAIN, "optimizer.lr=1e38", "model.depth=0"),
    "later": (DOUBLE, *PLAIN, "optimizer.lr=1e20", "model.depth=1"),
    "huge data": (*PLAIN, "model.depth=0", "data.noise=1e30"),
    "no validation yet": ("optimizer.lr=1e38", "trainer.check_val_every_n_epoch=2"),
    "the last epoch, without a validation": (
        *(DOUBLE, *PLAIN, "model.depth=1", "optimizer.lr=1e17"),
        "trainer.check_val_every_n_epoch=2",
    ),
    "no guard, its score": ("optimizer.lr=1e38", NO_GUARD, *BY_LOSS),
}
"""Trainings whose loss is inf or NaN, at an epoch or at once."""


@dataclass
class Outcome:
    """What a training came to: its error, if it failed, its score and the rows of metrics.csv."""

    error: str | None
    score: float | None
    rows: list[dict[str, str]]


SHORT = "trainer.max_epochs=3"


@cache
def by_solo(*overrides: str) -> Outcome:
    error = score = None
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = config_in(folder, SHORT, *overrides)
        with activate(ActiveRun(folder)):
            try:
                score = train(config, build(config))
            except Exception as raised:
                error = name_and_text(raised)
        assert not isinstance(score, list)
        return Outcome(error, score, _rows((folder / "metrics.csv").read_text()))


def on_a_lane(*overrides: str, native: bool) -> Outcome:
    """Beside another of the same kind that may well fail too."""
    other, one = training(SHORT, *overrides, seed=5), training(SHORT, *overrides)
    stack = Stack([other, one], 3)
    assert not native or stack.use(Native) is None
    for each in (other, one):
        stack.admit(each)
    while True:
        for ended in stack.tick():
            if ended.training is one and ended.over:
                error = None if ended.error is None else name_and_text(ended.error)
                score = None if error else one.scoring.value
                return Outcome(error, score, _rows(csv_text(one.rows)))
            if ended.over:
                stack.release(ended.lane)


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(table.splitlines()))


def assert_same(
    found: Outcome, wanted: Outcome, within: float, loose: tuple[str, ...] = ()
) -> None:
    assert found.error == wanted.error
    assert found.score == (wanted.score and pytest.approx(wanted.score, rel=within))
    assert [list(row) for row in found.rows] == [list(row) for row in wanted.rows]
    for mine, its in zip(found.rows, wanted.rows, strict=True):
        for name, text in its.items():
            assert (mine[name] == "") is (text == "")
            if text and name not in loose:
                near = pytest.approx(float(text), rel=within, abs=within, nan_ok=True)
                assert float(mine[name]) == near, name


@pytest.mark.parametrize("overrides", FINITE.values(), ids=FINITE)
def test_a_training_that_gets_through_has_the_numbers_of_solo(
    overrides: tuple[str, ...], native: bool
) -> None:
    wanted = by_solo(*overrides)
    assert wanted.error is None
    assert len(wanted.rows) == 3
    within = 1e-6 if DOUBLE in overrides else 1e-4
    # Of what is all but certain, ranks and bins hang on the last digit; losses and hits do not.
    loose = ("val/auroc", "val/ece")
    assert_same(on_a_lane(*overrides, native=native), wanted, within, loose)


@pytest.mark.parametrize("overrides", FAILING.values(), ids=FAILING)
def test_a_training_whose_loss_is_no_number_fails_at_the_epoch_and_in_the_words_of_solo(
    overrides: tuple[str, ...], native: bool
) -> None:
    wanted = by_solo(*overrides)
    assert wanted.error is not None
    assert wanted.error.startswith("FloatingPointError: ")
    numbers = [float(text) for text in wanted.rows[-1].values() if text]
    assert not all(map(math.isfinite, numbers)), "the epoch that it failed at is in its curve"
    assert_same(on_a_lane(*overrides, native=native), wanted, 1e-6)


def test_early_stopping_ends_a_training_whose_watched_loss_is_no_number(native: bool) -> None:
    watched = "callbacks.early_stopping"
    overrides = (
        *("optimizer.lr=1e38", NO_GUARD, "callbacks=early_stopping"),
        *(f"{watched}.metric=val/loss", f"{watched}.direction=minimize"),
    )
    wanted = by_solo(*overrides)
    assert len(wanted.rows) == 1
    assert_same(on_a_lane(*overrides, native=native), wanted, 1e-6)


def both(jobs: Jobs, values: list[dict[str, object]], *overrides: str) -> list[tuple[str, str]]:
    """The state and the error of each trial, the same by solo and on lanes."""
    found = []
    for name, engine in (("solo", Solo(main)), ("lanes", None)):
        mine = jobs(values, *overrides, to=name)
        ends = serve(mine, engine).ends()
        told = [result(job.folder) for job in mine]
        for number, one in enumerate(told):
            kind = Finished if one["state"] == "COMPLETE" else Failed
            assert isinstance(ends[number], kind)
        found.append([(one["state"], one.get("error") or "") for one in told])
    assert found[0] == found[1]
    return found[0]


def test_a_batch_of_one_fails_its_trials_in_the_same_words_and_no_others(jobs: Jobs) -> None:
    sizes = [1, 64, 1, 64]
    ended = both(jobs, [{"data.batch_size": size} for size in sizes])
    assert [state for state, _ in ended] == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert {error for state, error in ended if state == "FAIL"} == {
        "UsageError: data.batch_size=1: a batch has one sample to be normalised (Expected more than 1 "
        "value per channel when training, got input size torch.Size([1, 9])): data.batch_size=2 would do"
    }


def test_what_cannot_work_is_told_in_the_same_words(jobs: Jobs) -> None:
    values: list[dict[str, object]] = [
        {"optimizer.eps": -1.0},
        {"data.batch_size": 0},
        {"trainer.max_epochs": 0},
        {"model.batch_norm": "befor"},
        {"optimizer.lr": 1e38},
        {"optimizer.lr": 0.01},
    ]
    ended = both(jobs, values)
    assert [error.partition(":")[0] for _, error in ended] == [
        *["UsageError"] * 4,
        "FloatingPointError",
        "",
    ]
    assert (
        ended[0][1] == "UsageError: torch.optim.adam.Adam: ValueError: Invalid epsilon value: -1.0"
    )
