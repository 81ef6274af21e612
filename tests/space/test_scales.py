"""Scales are pairs of maps, and each spreads values as its name says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caviar.space.scales import LINEAR, LOG, REVERSE_LOG, SCALES

pytestmark = pytest.mark.fast

VALUES = {
    "linear": st.floats(-1e9, 1e9),
    "log": st.floats(1e-12, 1e12),
    "reverse_log": st.floats(0, 1 - 1e-9),
}


@pytest.mark.parametrize("name", SCALES)
@given(data=st.data())
def test_backward_inverts_forward(name, data):
    scale = SCALES[name]
    value = data.draw(VALUES[name])
    assert math.isclose(scale.backward(scale.forward(value)), value, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("name", SCALES)
@given(data=st.data())
def test_forward_keeps_apart_what_differs(name, data):
    scale = SCALES[name]
    a, b = data.draw(VALUES[name]), data.draw(VALUES[name])
    if not math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6):
        assert scale.forward(a) != scale.forward(b)


def test_reverse_log_quartiles_on_momentum():
    start, stop = REVERSE_LOG.forward(0.9), REVERSE_LOG.forward(0.999)
    quartiles = [REVERSE_LOG.backward(start + q * (stop - start)) for q in (0.25, 0.5, 0.75)]
    assert [round(q, 3) for q in quartiles] == [0.968, 0.99, 0.997]


@pytest.mark.parametrize(
    ("scale", "value", "holds"),
    [
        (LOG, 0.0, False),
        (LOG, -1.0, False),
        (LOG, 1e-300, True),
        (REVERSE_LOG, 1.0, False),
        (REVERSE_LOG, -0.1, False),
        (REVERSE_LOG, 0.0, True),
        (LINEAR, -5.0, True),
        (LINEAR, math.inf, False),
        (LINEAR, math.nan, False),
    ],
)
def test_a_scale_holds_what_it_can_place(scale, value, holds):
    assert scale.holds(value) is holds
