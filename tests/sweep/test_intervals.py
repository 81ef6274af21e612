"""Intervals hold the true mean as often as they say, and comparisons err as seldom."""

import numpy as np
import pytest

from caviar import UsageError
from caviar.sweep.confirm import DEFAULT, compare
from caviar.sweep.intervals import t_interval


@pytest.mark.parametrize("n", [2, 5, 10])
def test_the_interval_covers_the_true_mean_in_93_to_97_of_100(n: int) -> None:
    rng = np.random.default_rng()
    found = [t_interval(rng.normal(3.0, 0.5, n)) for _ in range(4000)]
    share = np.mean([one.low <= 3.0 <= one.high for one in found])
    assert 0.93 < share < 0.97


def test_one_value_has_no_interval() -> None:
    with pytest.raises(UsageError, match="two values or more, and there are 1"):
        t_interval([0.5])


def simulate(means: dict[str, float], rng: np.random.Generator, seeds: int = 10):
    """Scores of candidates, with a part that a seed gives to all of them alike."""
    shared = rng.normal(0, 1, seeds)
    return {
        name: {seed: mean + shared[seed] + rng.normal(0, 0.5) for seed in range(seeds)}
        for name, mean in means.items()
    }


def test_candidates_that_are_alike_are_seldom_told_apart() -> None:
    rng = np.random.default_rng()
    alike = dict.fromkeys([DEFAULT, *"12345"], 0.0)
    verdicts = [compare(simulate(alike, rng), sign=-1.0) for _ in range(600)]
    for told in ("second", "default"):
        wrong = [
            v.over[v.second if told == "second" else DEFAULT].side == 1  # type: ignore[index]
            for v in verdicts
        ]
        assert np.mean(wrong) < 0.075


def test_pairing_over_seeds_tells_apart_what_the_intervals_alone_do_not() -> None:
    rng = np.random.default_rng(0)
    verdicts = [compare(simulate({DEFAULT: 0.0, "1": 1.0}, rng), sign=-1.0) for _ in range(100)]
    assert np.mean([v.over[DEFAULT].side == 1 for v in verdicts]) > 0.9
    overlap = [v.estimates["1"].low < v.estimates[DEFAULT].high for v in verdicts]
    assert np.mean(overlap) > 0.5


@pytest.mark.parametrize(("sign", "winner"), [(-1.0, "1"), (1.0, "2")])
def test_the_winner_is_what_the_direction_says(sign: float, winner: str) -> None:
    scores = simulate({DEFAULT: 0.0, "1": 50.0, "2": -50.0}, np.random.default_rng(0))
    verdict = compare(scores, sign)
    assert verdict.winner == winner
    assert verdict.over[DEFAULT].side == 1


def test_a_default_that_is_better_is_told_and_is_no_winner() -> None:
    scores = simulate({DEFAULT: 50.0, "1": 1.0, "2": 0.0}, np.random.default_rng(0))
    verdict = compare(scores, -1.0)
    assert verdict.winner == "1"
    assert verdict.over[DEFAULT].side == -1


def test_seeds_that_failed_are_left_out_of_both_sides_of_a_pair() -> None:
    scores = simulate({DEFAULT: 0.0, "1": 9.0}, np.random.default_rng(0))
    del scores["1"][0]
    del scores[DEFAULT][1]
    assert compare(scores, -1.0).over[DEFAULT].n == 8
    scores["1"] = {3: 1.0}
    with pytest.raises(UsageError, match="trial 1 has 1 scores"):
        compare(scores, -1.0)
