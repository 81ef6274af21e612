"""What a trial is worth on a fresh seed: luck is taken off, worth is left on, and intervals hold."""

import numpy as np
import pytest

from caviar.reports.expected import expected
from caviar.reports.noise import Noise, late_noise, step_of
from caviar.zoom.good import FEWEST, fit_good


def a_sweep(seed, n=64, d=3, noise=0.02):
    """Scores of a valley, where more is better; the points, what each is worth, and its noisy score."""
    rng = np.random.default_rng(seed)
    points = rng.random((n, d))
    worth = 0.9 - 0.1 * ((points - 0.4) ** 2).sum(1)
    return points, worth, worth + noise * rng.standard_normal(n)


def told(points, scores, noise=0.02, wanted=None, sign=-1.0, shared=0.0):
    wanted = [int(scores.argmax())] if wanted is None else wanted
    known = Noise(noise, 0.2, "late epochs")
    good = fitted(points, -scores, wanted, known)
    return [] if good is None else expected(-scores, wanted, good, known, sign, shared)


def fitted(points, losses, wanted, known=None):
    groups, rng = [*range(points.shape[1])], np.random.default_rng(0)
    return fit_good(losses, points, groups, known and (known.sd, known.spread), wanted, rng)


def test_the_best_of_many_is_worth_less_than_its_score_and_the_intervals_hold():
    held, off, naive = [], [], []
    for seed in range(12):
        points, worth, scores = a_sweep(seed)
        best = int(scores.argmax())
        (one,) = told(points, scores)
        assert one.low < one.mean < one.high
        assert one.luck == pytest.approx(scores[best] - one.mean)
        held.append(one.low <= worth[best] <= one.high)
        off.append(one.mean - worth[best])
        naive.append(scores[best] - worth[best])
    assert sum(held) >= 9
    assert abs(np.mean(off)) < np.mean(naive) / 3


def test_without_noise_a_score_is_its_worth():
    points, worth, _ = a_sweep(0)
    (one,) = told(points, worth, noise=1e-5)
    assert one.mean == pytest.approx(worth.max(), abs=1e-3)
    assert one.high - one.low < 5e-3


def test_which_way_is_better_changes_the_sign_alone():
    points, _, scores = a_sweep(1)
    (more,) = told(points, scores)
    (less,) = told(points, scores, sign=1.0)
    assert (more.mean, more.low, more.high) == pytest.approx((-less.mean, -less.high, -less.low))


def test_the_same_sweep_is_told_the_same():
    points, _, scores = a_sweep(2)
    assert told(points, scores) == told(points, scores)


@pytest.mark.parametrize("n", [FEWEST - 1, 0])
def test_too_few_trials_tell_nothing(n):
    points, _, scores = a_sweep(3, n=FEWEST)
    assert fitted(points[:n], -scores[:n], []) is None


def test_trials_that_are_all_alike_tell_nothing():
    points, _, scores = a_sweep(3)
    assert not told(points, np.full_like(scores, 0.5))


def test_a_trial_that_diverged_does_not_blur_the_best():
    points, _, scores = a_sweep(4)
    (before,) = told(points, scores)
    (after,) = told(np.vstack([points, [[0.9, 0.9, 0.9]]]), np.append(scores, -1e6))
    assert after.mean == pytest.approx(before.mean, abs=0.01)


def test_late_epochs_tell_the_noise_and_a_trend_is_none():
    rng = np.random.default_rng(0)
    curves = [np.linspace(0, 1, 30) + 0.1 * rng.standard_normal(30) for _ in range(20)]
    found = late_noise(curves)
    assert found is not None
    assert found.sd == pytest.approx(0.1, rel=0.2)
    assert late_noise([np.zeros(30)] * 3) is None
    assert late_noise([]) is None


def test_a_mean_of_last_epochs_is_the_less_noisy_the_more_there_are() -> None:
    rng = np.random.default_rng(0)
    curves = [0.1 * rng.standard_normal(30) for _ in range(20)]
    sds = [found.sd for k in (1, 3, 5, 10) if (found := late_noise(curves, k))]
    assert len(sds) == 4
    assert sorted(sds, reverse=True) == sds
    assert sds[0] == pytest.approx(0.14, rel=0.2)


def test_luck_that_all_trials_share_is_in_the_interval_and_in_no_comparison() -> None:
    points, _, scores = a_sweep(4)
    (apart,) = told(points, scores)
    (together,) = told(points, scores, shared=0.25)
    assert together.mean == apart.mean
    assert together.high - together.low > 1.02 * (apart.high - apart.low)


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ([0.5, 0.75, 1.0, 1.0], 0.25),
        ([n / 27 for n in (20, 22, 25, 26)], 1 / 27),
        ([0.1, 0.2, 0.35, 0.512], 0.0),
        ([1.0, 1.0], 0.0),
        ([], 0.0),
    ],
)
def test_scores_that_are_shares_of_few_samples_have_a_step(
    scores: list[float], step: float
) -> None:
    assert step_of(scores) == pytest.approx(step, abs=1e-8)


def test_a_score_that_cannot_be_higher_is_known_to_its_step_at_best() -> None:
    found = late_noise([np.ones(30)] * 3, step=1 / 27)
    assert found is not None
    assert found.sd == pytest.approx(1 / 27 / 12**0.5)
