"""What is drawn lies inside, is spread as asked, and reads the same in the study and in the run."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from caviar.base.errors import UsageError
from caviar.space.hyperparameters import Choice, Interval, Range
from caviar.space.scales import LINEAR, LOG, REVERSE_LOG
from caviar.zoom.bounds import reach
from caviar.zoom.coordinates import position

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
    assert list(Range("x", 1, 5).values) == [1, 2, 3, 4]
    assert list(Range("x", 0.0, 0.3, 0.1).values) == [0.0, 0.1, 0.2]
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
        (lambda: Range("d", 0.0, math.inf), "inf is not finite"),
        (lambda: Range("d", 0, 10**400), "is not finite"),
        (lambda: Range("d", 2**53 - 1, 2**53 + 3), "is beyond 2**53"),
        (lambda: Range("d", 0.0, 1e9, 0.1), "more than 10,000,000 steps from 0"),
        (lambda: Interval("x", 1, 10**17, LOG, True), "100000000000000000 is beyond 2**53"),
        (lambda: Interval("x", -1e308, 1e308), "its width is beyond float64"),
        (lambda: Interval("x", 0.0, 1e-20, REVERSE_LOG), "float64 cannot tell its ends apart"),
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


BOUNDS = st.floats(allow_nan=True, allow_infinity=True) | st.integers()


@given(BOUNDS, BOUNDS, st.sampled_from([LINEAR, LOG, REVERSE_LOG]), st.booleans(), UNIT)
def test_an_interval_is_refused_or_can_be_drawn_from_and_placed(low, high, scale, integer, u):
    try:
        h = Interval("x", low, high, scale, integer and isinstance(low + high, int))
    except UsageError:
        return
    for held in (h.from_unit(u), *h.spread(5)):
        assert h.distribution._contains(h.distribution.to_internal_repr(held))
        assert -1e-6 <= position(h, h.from_study(held)) <= 1 + 1e-6
    assert h.from_unit(0.0) != h.from_unit(1 - 2**-53)
    for low_place, high_place in ((-0.5, 0.5), (0.25, 0.5), (0.5, 1.5)):
        assert reach(h, low_place, high_place).distribution  # no bound that is refused


DECIMALS = st.builds(lambda n, k: n / 10**k, st.integers(1, 10**6), st.integers(0, 12))


@given(st.integers() | DECIMALS, st.integers(1, 10**7), st.integers(1, 10**6) | DECIMALS, UNIT)
def test_a_range_is_refused_or_each_of_its_points_can_be_drawn(start, count, step, u):
    try:
        h = Range("x", start, start + count * step, step)
    except UsageError:
        return
    assert len(h.values) in (count - 1, count, count + 1)
    for held in (h.from_unit(u), h.values[-1], *h.spread(3)):
        assert h.distribution._contains(h.distribution.to_internal_repr(held))
        assert h.holds(h.from_study(held))
        assert 0 <= position(h, held) <= 1 + 1e-6
    for low_place, high_place in ((-0.5, 0.5), (0.25, 0.5), (0.5, 1.5)):
        assert reach(h, low_place, high_place).distribution


@pytest.mark.parametrize("h", [Range("x", 0, 10**15), Range("x", 0.0, 10**6, 0.25)], ids=str)
def test_a_range_is_its_ends_however_many_numbers_lie_between(h):
    tracemalloc.start()
    assert h.spread(3)[-1] == h.values[-1]
    assert h.holds(7)
    assert h.holds(7.0)
    assert not h.holds(-1)
    assert not h.holds(0.1)
    assert h.from_study(h.from_unit(0.5)) in h.values
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_a_range_has_the_decimals_that_were_written():
    assert list(Range("x", 0.0, 0.7, 0.1).values) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert Range("x", 1e-15, 4e-15, 1e-15).values[:] == [1e-15, 2e-15, 3e-15]
    assert Range("x", 0.0, 1.0, 0.1).from_study(0.1 + 0.2) == 0.3
