"""What a trial is worth on a fresh seed: its score without the luck that made it the best of many.

The best of many noisy scores is too good (the winner's curse). A score is taken as ``y = f(x) + e``: ``f``
the mean over seeds, which is what one gets, and ``e`` the luck of one seed. A Gaussian process over the
space is the prior of ``f``, so that each score is drawn in to what the trials around it say, by as much as
luck has in their differences; its posterior at the best trial is the answer. Under a right prior the
choice of the best changes nothing: the posterior is that of the data, whichever trial is looked at and why
(Senn 2008, "A note concerning a selection paradox of Dawid's"; Efron 2011, "Tweedie's formula and selection
bias"). The surrogate is `caviar.zoom.surrogate`'s (Rasmussen & Williams 2006, equations 2.25 and 2.26),
with what is known of the noise as the noise's prior, fitted to the better half of the trials, as the
others foretell them: what bad trials do says little of good ones. What no place explains is luck as far
as `Noise` says; the rest is taken for a landscape too rough to be seen, and is the trial's own. The
surrogate's settings (Laplace) and the noise are averaged over.

A score is read at the same epochs on a fresh seed: the maximum over epochs, if any, is in both. What is
not corrected for is that the same validation part chose and judges: the test part is for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr
from threadpoolctl import threadpool_limits

from caviar.reports.noise import Noise
from caviar.zoom.good import Good
from caviar.zoom.surrogate import Array

LEVEL = 0.9
ROUGH = 0.6
"""How rough a landscape may be beside the noise: the standard deviation of what is a trial's own and no
neighbour shares, in units of the noise's."""
WIDER = 1.1
"""By so much intervals are wider than the model says, which is hopeful: it knows no heavy tails. Chosen,
with the degrees of freedom, on 110 made-up sweeps of another kind than the benchmark's."""
SDS = 9
"""Standard deviations of the noise that are averaged over."""
SEEDS = 10
"""The interval is of a mean over so many fresh seeds, as many as ``caviar confirm`` takes."""


@dataclass(frozen=True)
class Expected:
    """What one trial is worth.

    Attributes:
        mean: the expected score.
        low, high: these hold the mean over `SEEDS` fresh seeds with probability `LEVEL`.
        luck: by how much the trial's own score is better than ``mean``.
        noise: the standard deviation of a score under retraining, as it turned out.
        source: what that is known from.
    """

    mean: float
    low: float
    high: float
    luck: float
    noise: float
    source: str

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@threadpool_limits.wrap(limits=1)
def expected(
    losses: Array,
    wanted: Sequence[int],
    good: Good,
    noise: Noise | None = None,
    sign: float = 1.0,
    shared: float = 0.0,
) -> list[Expected]:
    """What some of a sweep's trials are worth.

    Args:
        losses: the complete trials' scores times ``sign``, so that less is better; shape ``(trials,)``.
        wanted: the places of the trials in question.
        good: the fits of the good trials, with ``wanted`` among them.
        noise: what is known of a score's luck beforehand.
        sign: 1 where less is better, -1 where more is: what is returned is in the score's direction.
        shared: the part of the noise's variance that is the same for all trials, as where they have one
            seed: no comparison among them shows it.

    Returns:
        one for each of ``wanted``.
    """
    smooth, taken = good.smooth[good.taken], good.taken
    means, variances, noises, weights = [], [], [], []
    for surrogate in good.fits:
        for sd in [surrogate.noise_sd] if noise is None else noise.quantiles(SDS):
            mean, variance = surrogate.luck(sd)
            means.append(smooth - mean)
            noises.append(min(sd, surrogate.noise_sd) ** 2)
            rough = surrogate.noise_sd**2 / noises[-1] - 1
            weights.append(-0.5 * rough / ROUGH**2)
            variances.append(variance + noises[-1] * (1 / SEEDS + shared))
    weight = np.exp(np.array(weights) - max(weights))
    weight /= weight.sum()
    luck = float(np.sqrt(weight @ np.array(noises)))
    found = []
    for place in wanted:
        column = int(np.searchsorted(taken, place))
        at, spread = (np.array(part)[:, column] for part in (means, variances))
        ends = _interval(at, np.sqrt(spread), weight, len(taken))
        low, high = sorted(sign * end for end in ends)
        mean = float(weight @ at)
        source = "the scores' own scatter" if noise is None else noise.source
        found.append(Expected(sign * mean, low, high, float(mean - losses[place]), luck, source))
    return found


def unpicked(score: float, noise: float, source: str) -> Expected:
    """What a trial is worth that nobody picked for its score, and no other says anything of: its score."""
    half = ndtri((1 + LEVEL) / 2) * noise * (1 + 1 / SEEDS) ** 0.5
    return Expected(score, score - half, score + half, 0.0, noise, source)


def _interval(means: Array, spreads: Array, weight: Array, trials: int) -> tuple[float, float]:
    """The middle `LEVEL` of a mixture of Student's t distributions: few trials know their noise badly."""
    freedom = max(trials / 8, 2.5)
    spreads = WIDER * spreads
    span = 12 * spreads.max()
    places = np.linspace(means.min() - span, means.max() + span, 801)
    below = stdtr(freedom, (places[:, None] - means) / spreads) @ weight
    low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], below, places)
    return float(low), float(high)
