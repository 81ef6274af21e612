"""Fitting a surrogate to a sweep's scores, in the form in which they can be predicted best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from caviar.zoom.surrogate import MOST_TRIALS, Array, Surrogate


@dataclass(frozen=True)
class Fit:
    """A surrogate, and how well it predicts.

    Attributes:
        smooth: the scores in the form that was fitted, shape ``(trials,)``, failed trials last.
        share: of the variance of ``smooth``, what was predicted for trials left out.
    """

    surrogate: Surrogate
    smooth: Array
    share: float

    @property
    def lead(self) -> float:
        """By how much the best trial is better than the median one."""
        return max(float(np.median(self.smooth) - self.smooth.min()), 1e-12)


def fit_scores(losses: Array, points: Array, groups: list[int], rng: np.random.Generator) -> Fit:
    """Fit the losses as they are, or their ranks: whichever ranks left out good trials better.

    Args:
        losses: of the complete trials.
        points: of all trials, the failed ones last.
        groups: see `Surrogate`.
    """
    taken = kept(losses, len(points) - len(losses), rng)
    forms = []
    for form in (tempered, scored):
        smooth = form(losses)
        # Where training broke down is no place to go: as bad as the worst.
        smooth = np.append(smooth, [smooth.max()] * (len(points) - len(losses)))
        forms.append((smooth, Surrogate(points[taken], smooth[taken], groups)))
    smooth, surrogate = min(forms, key=lambda pair: _confusion(pair[1], losses, taken))
    error = surrogate.left_out() - smooth[taken]
    return Fit(surrogate, smooth, 1 - float((error**2).mean() / smooth[taken].var()))


def tempered(losses: Array) -> Array:
    """``losses`` with those that are far out drawn in: a diverged trial is bad, no matter how bad.

    Far out is beyond the upper quartile plus 3 interquartile ranges (Tukey 1977); there, a logarithm.
    """
    low, high = np.quantile(losses, 0.25), np.quantile(losses, 0.75)
    unit = high - low
    if unit == 0:
        return losses
    knee = high + 3 * unit
    over = np.maximum(losses - knee, 0) / unit
    return np.where(losses > knee, knee + unit * np.log1p(over), losses)


def scored(losses: Array) -> Array:
    """The normal scores of the losses' ranks: it brings out small differences between good trials."""
    return ndtri((_ranks(losses) - 0.5) / len(losses))


def _ranks(values: Array) -> Array:
    """From 1 on; those that are alike share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places]


def _confusion(surrogate: Surrogate, losses: Array, taken: NDArray[np.intp]) -> float:
    """How badly the better half of the trials is ranked, each by the others: 0 (well) to 2."""
    good = np.flatnonzero(taken < len(losses))
    known = losses[taken[good]]
    good = good[known <= np.median(losses)]
    ranks = _ranks(surrogate.left_out()[good]), _ranks(losses[taken[good]])
    spread = [float(np.std(rank)) for rank in ranks]
    if min(spread) == 0:
        return 1.0
    return 1 - float(np.corrcoef(*ranks)[0, 1])


def kept(losses: Array, failed: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows for the surrogate: all, or, of very many, the best half and others by chance."""
    count = len(losses) + failed
    if count <= MOST_TRIALS:
        return np.arange(count)
    order = np.append(np.argsort(losses), np.arange(len(losses), count))
    rest = rng.choice(order[MOST_TRIALS // 2 :], MOST_TRIALS - MOST_TRIALS // 2, replace=False)
    return np.concatenate([order[: MOST_TRIALS // 2], rest])
