"""What more trials are expected to gain: by the good trials' own fit and noise, beyond a confirm now."""

import numpy as np
import pytest

from caviar.zoom.gain import Gains, expected_gains
from caviar.zoom.good import Good, fit_good

NOISE = 0.02


def a_sweep(n: int = 100, loud: float = NOISE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points, and losses that fall with the first column; in its worse half the noise is ``loud``."""
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2))
    points = points[points[:, 0].argsort()[::-1]]
    noise = np.where(points[:, 0] > 0.5, NOISE, loud) * rng.standard_normal(n)
    losses = 1 - points[:, 0] + noise
    order = losses.argsort()
    return points[order], losses[order]


def fit(points: np.ndarray, losses: np.ndarray) -> Good:
    found = fit_good(losses, points, [0, 1], (NOISE, 0.5), range(5), np.random.default_rng(0))
    assert found is not None
    return found


def gains(points: np.ndarray, losses: np.ndarray, least: float = -np.inf, **ways: float) -> Gains:
    """Of ways whose places have that first column."""
    rng = np.random.default_rng(1)
    places = {name: np.column_stack([np.full(50, at), rng.random(50)]) for name, at in ways.items()}
    return expected_gains(fit(points, losses), points, range(10), places, NOISE, least=least)


def test_places_beyond_the_best_gain_and_bad_ones_gain_nothing() -> None:
    found = gains(*a_sweep(), beyond=1.1, within=0.97, bad=0.1).of
    assert found["beyond"] > 0.05
    assert found["beyond"] > found["within"] > -0.01
    assert found["bad"] == pytest.approx(0.0, abs=0.005)


def test_no_more_is_gained_than_there_is() -> None:
    points, losses = a_sweep()
    assert gains(points, losses, least=float(losses.min()), beyond=1.1).of["beyond"] < NOISE


def test_the_noise_is_that_of_the_good_trials() -> None:
    assert NOISE / 1.5 < gains(*a_sweep(loud=10 * NOISE), within=0.9).noise < 1.5 * NOISE


def test_the_good_are_the_better_half_by_what_others_say() -> None:
    points, losses = a_sweep()
    losses[-1] = losses.min() - 0.01  # luck, where all around it is bad
    order = losses.argsort()
    found = fit(points[order], losses[order])
    assert points[order][found.taken[1:], 0].min() > 0.35
    assert found.holds(np.array([[0.95, 0.5], [0.05, 0.5]])).tolist() == [True, False]
