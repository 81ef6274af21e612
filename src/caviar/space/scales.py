"""Scales: pairs of a forward and a backward map, so that uniform on the scale means what it should.

A learning rate matters by its order of magnitude (log); a momentum β matters by 1 / (1 - β), the
number of steps it averages over (reverse_log).
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How a hyperparameter is spread.

    Attributes:
        name: the word in the grammar (``tag(log, …)``).
        forward: value -> position; the sampler is uniform in position.
        backward: position -> value; the inverse of ``forward``.
        domain: which values have a position, as a user would read it.
        holds: whether a value has a position.
    """

    name: str
    forward: Callable[[float], float]
    backward: Callable[[float], float]
    domain: str
    holds: Callable[[float], bool]


def _power_of_ten(position: float) -> float:
    try:
        return 10.0**position
    except OverflowError:  # by rounding, at the last floats that there are
        return sys.float_info.max


LINEAR = Scale("linear", float, float, "finite", math.isfinite)

LOG = Scale(
    "log",
    forward=math.log10,
    backward=_power_of_ten,
    domain="greater than 0",
    holds=lambda value: 0 < value < math.inf,
)

REVERSE_LOG = Scale(
    "reverse_log",
    forward=lambda value: math.log10(1 - value),
    backward=lambda position: 1 - 10.0**position,
    domain="at least 0 and less than 1",
    holds=lambda value: 0 <= value < 1,
)

SCALES = {scale.name: scale for scale in (LINEAR, LOG, REVERSE_LOG)}
