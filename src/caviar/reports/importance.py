"""How much each hyperparameter tells the best trials from the others, and how sure that is.

PED-ANOVA (Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in
arbitrary subspaces"): the Pearson divergence between where the best quarter of the trials lies on a
hyperparameter's scale and where all lie. A trial that was pruned or failed is
evidence too: none of the best. How sure: the share of shuffled scores that give as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from caviar.reports.evidence import Evidence
from caviar.space.hyperparameters import Choice, Hyperparameter

TOP_SHARE = 0.25
LEAST = 8
SHUFFLES = 400
GRID = 32
BANDWIDTH = 0.1
IDLE = 0.1
"""Above this ``p`` a hyperparameter tells the best trials from the others no better than chance."""


@dataclass(frozen=True)
class Importance:
    """One hyperparameter's.

    Attributes:
        divergence: 0 where the best trials lie as all do; NaN where too few have it.
        noise: the divergence that shuffled scores give, on average.
        p: the share of shuffled scores that give as much; 1 where too few trials have it.
        trials: how many trials have it.
    """

    divergence: float
    noise: float
    p: float
    trials: int

    @property
    def above_noise(self) -> float:
        """The divergence less what chance gives; at least 0."""
        return max(self.divergence - self.noise, 0.0) if math.isfinite(self.divergence) else 0.0


def importance(evidence: Evidence, h: Hyperparameter) -> Importance:
    """The importance of ``h`` over the trials that have it: complete, pruned and failed ones."""
    places = evidence.ranked_positions(h).to_numpy()
    n = len(places)
    if n < LEAST or np.ptp(places) == 0:
        return Importance(math.nan, math.nan, 1.0, n)
    if isinstance(h, Choice):
        weights = (places[:, None] == np.unique(places)).astype(float)
    else:
        # Reflected at both ends, so that an end is no dip.
        grid = (np.arange(GRID) + 0.5) / GRID
        mirrored = np.stack([places, -places, 2 - places])
        weights = np.exp(-0.5 * ((mirrored[:, :, None] - grid) / BANDWIDTH) ** 2).sum(0)
    weights /= weights.sum(1, keepdims=True)
    everything = weights.mean(0)
    found = ((_picked(n) @ weights - everything) ** 2 / everything).sum(1)
    p = (1 + (found[1:] >= found[0]).sum()) / (SHUFFLES + 1)
    return Importance(float(found[0]), float(found[1:].mean()), float(p), n)


@lru_cache(maxsize=1)  # most often, all hyperparameters have the same trials
def _picked(n: int) -> NDArray[np.float64]:
    """Shape ``(1 + SHUFFLES, n)``: the weight of each trial, best first, among the best; then by chance."""
    top = max(2, round(TOP_SHARE * n))
    rng = np.random.default_rng(0)
    picked = np.zeros((SHUFFLES + 1, n))
    picked[0, :top] = 1 / top
    for row in picked[1:]:
        row[rng.permutation(n)[:top]] = 1 / top
    return picked


def shares(
    evidence: Evidence, hyperparameters: Iterable[Hyperparameter]
) -> dict[str, tuple[float, Importance]]:
    """Each hyperparameter's share of what is above chance, the most important first."""
    found = {h.name: importance(evidence, h) for h in hyperparameters}
    total = sum(item.above_noise for item in found.values()) or 1.0
    ordered = sorted(found.items(), key=lambda pair: -pair[1].above_noise)
    return {name: (item.above_noise / total, item) for name, item in ordered}
