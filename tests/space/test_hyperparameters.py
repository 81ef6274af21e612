"""What is drawn lies inside, is spread as asked, and reads the same in the study and in the run."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from caviar.errors import UsageError
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG

pytestmark = pytest.mark.fast

UNIT = st.floats(0, 1, exclude_max=True)

EXAMPLES = [
    Interval("x", -5.0, 5.0),
    Interval("x", 1e-5, 1e-1, LOG),
    Interval("x", 0.9, 0.999, REVERSE_LOG),
    Interval("x", 0.0, 0.99, REVERSE_LOG),
    Interval("x", 16, 256, LOG, integer=True),
    Interval("x", 1, 7, integer=True),
    Range("x", 1, 5),
    Range("x", -5.5, 5.5, 0.5),
    Range("x", 0.0, 0.3, 0.1),
    Choice("x", ("relu", "gelu", None, True)),
    Choice("x", ([64, 32], [128], {"a": 1})),
]


@pytest.mark.parametrize("hyperparameter", EXAMPLES, ids=str)
@given(u=UNIT)
def test_what_is_drawn_is_what_the_study_can_hold(hyperparameter, u):
    held = hyperparameter.from_unit(u)
    distribution = hyperparameter.distribution
    assert distribution._contains(distribution.to_internal_repr(held))


@pytest.mark.parametrize("hyperparameter", EXAMPLES, ids=str)
@given(u=UNIT)
def test_study_and_run_see_the_same_value(hyperparameter, u):
    held = hyperparameter.from_unit(u)
    back = hyperparameter.to_study(hyperparameter.from_study(held))
    assert back == held or math.isclose(back, held, rel_tol=1e-9)


@pytest.mark.parametrize("hyperparameter", EXAMPLES[:6], ids=str)
@given(u=UNIT)
def test_the_run_never_sees_a_value_beyond_the_bounds(hyperparameter, u):
    value = hyperparameter.from_study(hyperparameter.from_unit(u))
    slack = 1e-12
    assert hyperparameter.low - slack <= value <= hyperparameter.high + slack


@pytest.mark.parametrize(
    "interval",
    [
        Interval("x", -5.0, 5.0, LINEAR),
        Interval("x", 1e-5, 1e-1, LOG),
        Interval("x", 0.9, 0.999, REVERSE_LOG),
    ],
    ids=str,
)
def test_quantiles_are_uniform_on_the_scale(interval):
    start, stop = sorted(map(interval.scale.forward, (interval.low, interval.high)))
    values = [interval.from_study(interval.from_unit(u)) for u in np.linspace(0, 0.9999, 2000)]
    positions = [interval.scale.forward(value) for value in values]
    assert kstest(positions, "uniform", args=(start, stop - start)).statistic < 0.002


def test_integers_have_equal_shares_end_points_included():
    interval = Interval("x", 1, 4, integer=True)
    drawn = [interval.from_unit((i + 0.5) / 4000) for i in range(4000)]
    assert [drawn.count(n) for n in (1, 2, 3, 4)] == [1000] * 4


def test_reverse_log_stands_in_the_study_as_one_minus_x_on_a_log_axis():
    momentum = Interval("optimizer.momentum", 0.9, 0.999, REVERSE_LOG)
    assert momentum.study_name == "1 - optimizer.momentum"
    assert momentum.distribution.log
    assert momentum.distribution.low == pytest.approx(0.001)
    assert momentum.distribution.high == pytest.approx(0.1)


def test_a_range_excludes_its_end_as_hydra_does():
    assert Range("x", 1, 5).values == [1, 2, 3, 4]
    assert Range("x", 0.0, 0.3, 0.1).values == [0.0, 0.1, 0.2]
    assert Range("x", -5.5, 5.5, 0.5).values[-1] == 5.0


@pytest.mark.parametrize("points", [1, 2, 3, 7])
@pytest.mark.parametrize("hyperparameter", EXAMPLES, ids=str)
def test_spread_stays_inside_and_has_no_value_twice(hyperparameter, points):
    spread = hyperparameter.spread(points)
    distribution = hyperparameter.distribution
    assert len({repr(value) for value in spread}) == len(spread)
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in spread)


def test_spread_reaches_both_ends_of_an_interval():
    assert Interval("x", 1e-4, 1.0, LOG).spread(5) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_true_and_one_are_two_options():
    choice = Choice("x", (1, "1"))
    assert choice.from_study("1") == "1"
    assert choice.from_study(1) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Interval("lr", 1.0, 0.1), "lr=interval(1.0, 0.1): low must be less than high"),
        (lambda: Interval("lr", 0.0, 0.1, LOG), "0.0 is not greater than 0"),
        (lambda: Interval("m", 0.9, 1.0, REVERSE_LOG), "1.0 is not at least 0 and less than 1"),
        (lambda: Interval("m", -0.5, 0.9, REVERSE_LOG), "-0.5 is not at least 0"),
        (lambda: Interval("x", 1.0, math.inf), "inf is not finite"),
        (lambda: Range("d", 5, 1), "d=range(5, 1, 1): low must be less than high"),
        (lambda: Range("d", 1, 5, 0), "the step must be greater than 0"),
        (lambda: Choice("a", ()), "a choice needs at least one option"),
        (lambda: Choice("a", ("b", "b")), 'the option "b" stands there twice'),
    ],
)
def test_bounds_that_cannot_work_are_refused_in_one_line(make, words):
    with pytest.raises(UsageError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_is_an_option_like_any_other():
    choice = Choice("class_weight", (1.0, math.nan))
    for option in (1.0, float("nan")):  # another object than the one above
        assert choice.holds(option)
        assert str(choice.from_study(choice.to_study(option))) == str(option)
