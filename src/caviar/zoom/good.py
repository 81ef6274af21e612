"""The good trials of a sweep, fitted for themselves: what bad trials do says little of good ones.

Bad trials are noisier than good ones, and change faster from place to place: fitted with them, good ones
are told apart by a noise that is not theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caviar.zoom.scores import tempered
from caviar.zoom.surrogate import Array, Surrogate

FEWEST = 8
"""Trials that it takes."""
HALVED = 24
"""Of so many trials or more, the better half alone are fitted."""
FITTED = 200
"""Trials that are fitted at most: time grows with their third power."""
OTHERS = 8
"""Settings of the surrogate that are averaged over, beside the likeliest."""


@dataclass(frozen=True)
class Good:
    """Fits of good trials.

    Attributes:
        smooth: all losses in the form that was fitted, shape ``(trials,)``.
        taken: the trials that were fitted, in order.
        fits: surrogates of those: the likeliest, and `OTHERS` that are about as likely.
    """

    smooth: Array
    taken: NDArray[np.intp]
    fits: list[Surrogate]
    _whole: Surrogate | None
    _limit: float

    def holds(self, places: Array) -> NDArray[np.bool_]:
        """Which of ``places`` are foretold, by all trials, to be among the good; shape ``(places,)``."""
        if self._whole is None:
            return np.ones(len(places), dtype=bool)
        return self._whole.mean(places) <= self._limit


def fit_good(
    losses: Array,
    points: Array,
    groups: list[int],
    noise: tuple[float, float] | None,
    wanted: Sequence[int],
    rng: np.random.Generator,
) -> Good | None:
    """Fit the better half of the trials, by what the others say of each.

    By its own score a trial would be in for its luck, and the luck of all be taken for their worth.

    Args:
        losses: of the trials that have a score.
        points: of all trials, the failed ones last; shape ``(trials, columns)``.
        groups: see `Surrogate`.
        noise: what is known of a score's luck: its standard deviation, and that of its logarithm.
        wanted: trials that are to be among those that are fitted.

    Returns:
        None where fewer than `FEWEST` trials have a score, or those that are fitted are alike.
    """
    if len(losses) < FEWEST or not points.shape[1] or np.ptp(losses) == 0:
        return None
    smooth, count = tempered(losses), len(losses)
    # What no place explains is noise and, in part, how rough the scores' own landscape is.
    known = None if noise is None else (1.2 * noise[0], noise[1] + 0.2)
    # Where training broke down it is as bad as the worst.
    every = np.append(smooth, [smooth.max()] * (len(points) - count))
    taken, whole, limit = np.arange(count), None, np.inf
    if count >= HALVED:
        some = np.arange(len(points))
        if len(points) > FITTED:
            some = np.sort(rng.choice(some, FITTED, replace=False))
        whole = Surrogate(points[some], every[some], groups, known)
        foretold = whole.mean(points)
        foretold[some] = whole.left_out()
        half = min(max(HALVED // 2, count // 2), FITTED)
        taken = np.argsort(foretold[:count], kind="stable")[:half]
        limit = float(foretold[taken].max())
    taken = np.union1d(taken, np.asarray(wanted, dtype=np.intp))
    if np.ptp(smooth[taken]) == 0:
        return None
    first = Surrogate(points[taken], smooth[taken], groups, known)
    return Good(smooth, taken, [first, *first.others(OTHERS, rng)], whole, limit)
