"""What a training is scored by: the best epoch, the last, or the last few."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.base.errors import UsageError
from caviar.base.rules import TRAINING, check_settings
from caviar.base.scoring import Scoring

Curve = list[tuple[float, float]]

numbers = st.floats(-1e3, 1e3)
curves = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12)


def scored(curve: Curve, direction: str, score: str) -> Scoring:
    scoring = Scoring(["a", "b"], direction, score)
    for epoch, (a, b) in enumerate(curve):
        scoring.take({"a": a, "b": b}, epoch)
    return scoring


@given(curves, st.sampled_from(["minimize", "maximize"]))
def test_the_best_epoch_is_the_first_of_equals(curve: Curve, direction: str) -> None:
    found = scored(curve, direction, "best")
    firsts = [a for a, _ in curve]
    best = min(firsts) if direction == "minimize" else max(firsts)
    assert found.epoch == firsts.index(best)
    assert found.values == list(curve[firsts.index(best)])


@given(curves, st.integers(1, 9))
def test_the_mean_of_the_last_epochs_is_of_those_that_there_are(curve: Curve, count: int) -> None:
    found = scored(curve, "maximize", f"last{count}")
    last = curve[-count:]
    assert found.epoch == len(curve) - 1
    for value, its in zip(found.values, zip(*last, strict=True), strict=True):
        assert math.isclose(value, sum(its) / len(last), rel_tol=1e-12, abs_tol=1e-9)


@given(curves, st.sampled_from(["best", "last", "last3"]), st.integers(0, 12))
def test_a_score_gone_on_with_is_the_one_never_interrupted(
    curve: Curve, score: str, cut: int
) -> None:
    whole = scored(curve, "minimize", score)
    other = Scoring(["a", "b"], "minimize", score)
    other.load_state(scored(curve[:cut], "minimize", score).state())
    for epoch, (a, b) in list(enumerate(curve))[cut:]:
        other.take({"a": a, "b": b}, epoch)
    assert other.state() == whole.state()
    assert other.when == whole.when


def test_the_last_epoch_alone_is_last() -> None:
    assert scored([(1, 2), (3, 4)], "minimize", "last").values == [3, 4]
    assert scored([(1, 2), (3, 4)], "minimize", "last1").values == [3, 4]


def test_a_metric_that_not_every_one_of_the_epochs_logged_has_no_mean() -> None:
    scoring = Scoring(["a"], "minimize", "last2")
    scoring.take({"a": 1.0, "rare": 5.0}, 0)
    scoring.take({"a": 3.0}, 1)
    assert scoring.metrics == {"a": 2.0}


def test_it_says_which_epochs_it_is_of() -> None:
    curve = [(1.0, 0.0), (0.0, 0.0)]
    assert scored(curve, "maximize", "best").when == "at epoch 0"
    assert scored(curve, "maximize", "last").when == "at the last epoch, 1"
    assert scored(curve, "maximize", "last5").when == "mean of the last 2 epochs, to 1"


@pytest.mark.parametrize(
    "score", ["lasst", "last0", "last-3", "5", "mean", "", "last5 ", 5, True, None]
)
def test_another_score_is_refused(score: object) -> None:
    with pytest.raises(UsageError, match=r"score=.*best, last, or last5"):
        Scoring(["a"], "minimize", score)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"score=.*best, last, or last5"):
        check_settings({"score": score}, TRAINING)
