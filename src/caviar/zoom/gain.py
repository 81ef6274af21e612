"""What more trials are expected to gain, by the surrogate of a sweep's scores and the noise of retraining.

The sweep's future is played through many times. A draw from the surrogate's posterior says what each trial
is worth and what each new one would be; noise is added to the new scores. Every way ends as ``caviar
confirm`` ends it: the trials with the best scores, and the default, are trained over fresh seeds, and the
best mean is picked. By how much that is worth more than what a confirm would pick now is in the mean what
a way is expected to gain (the value of information, Howard 1966; Frazier 2018, "A tutorial on Bayesian
optimization", section 4, where one trial more is picked by its expectation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from caviar.zoom.good import Good
from caviar.zoom.surrogate import Array

DRAWS = 400
OTHERS = 3
"""Settings of the surrogate that are averaged over, beside the likeliest."""
ROUGH = 0.6
"""How rough a landscape may be beside the noise, as in `caviar.reports.expected`."""
PICKED, SEEDS = 5, 10
"""The best trials that ``caviar confirm`` trains again, and over how many seeds."""


@dataclass(frozen=True)
class Gains:
    """What each way to go on is expected to gain, in the score's unit, more being better.

    Attributes:
        of: by way, beyond what a confirm gains now.
        noise: the standard deviation of a score under retraining.
    """

    of: Mapping[str, float]
    noise: float


@threadpool_limits.wrap(limits=1)
def expected_gains(
    good: Good,
    points: Array,
    best: Sequence[int],
    ways: Mapping[str, Array],
    noise: float | None,
    default: int | None = None,
    least: float = -np.inf,
) -> Gains:
    """What ways to go on are expected to gain.

    Args:
        good: the fits of a sweep's good trials.
        points: the places of all trials, shape ``(trials, columns)``.
        best: the trials with the best scores, the best first: those that may be picked.
        ways: by name, the places of its new trials, shape ``(new, columns)``.
        noise: a score's standard deviation under retraining, as far as it is known.
        default: the trial that is the default, where one is.
        least: no trial's loss can be worth less.
    """
    rng = np.random.default_rng(0)
    # The default last, where its place is known.
    old = [one for one in best if one != default] + ([] if default is None else [default])
    smooth = good.smooth[old]
    # Where all trials say that it is bad, none of the good says how bad.
    near = {name: places[good.holds(places)] for name, places in ways.items()}
    near["confirm"] = points[:0]
    after: dict[str, list[float]] = {name: [] for name in near}
    noises = []
    for surrogate in good.fits[: OTHERS + 1]:
        # What no place explains is luck as far as it can be; the rest is a trial's own worth.
        whole = surrogate.noise_sd
        luck = min(noise, whole) if noise else whole
        rough = min(np.sqrt(whole**2 - luck**2), ROUGH * luck)
        sd = float(np.sqrt(whole**2 - rough**2))
        noises.append(sd)
        for name, places in near.items():
            drawn = surrogate.draw(np.vstack([points[old], places]), DRAWS, rng)
            worth = drawn + rough * rng.standard_normal(drawn.shape)
            # What of a trial's score the draw does not explain is its own worth, in part.
            own = rough**2 / max(rough**2 + sd**2, 1e-300)
            left = smooth - drawn[:, : len(old)]
            unknown = rough * np.sqrt(1 - own) * rng.standard_normal(left.shape)
            worth[:, : len(old)] = drawn[:, : len(old)] + own * left + unknown
            worth = np.maximum(worth, least)
            new = worth[:, len(old) :]
            scores = new + sd * rng.standard_normal(new.shape)
            shown = np.hstack([np.tile(smooth, (DRAWS, 1)), scores])
            picked = np.argsort(shown, axis=1)[:, :PICKED]
            if default is not None:
                picked = np.insert(picked, 0, len(old) - 1, axis=1)
            top = np.take_along_axis(worth, picked, 1)
            again = top + sd / np.sqrt(SEEDS) * rng.standard_normal(top.shape)
            after[name].append(float(top[np.arange(DRAWS), again.argmin(1)].mean()))
    worths = {name: float(np.mean(found)) for name, found in after.items()}
    now = worths.pop("confirm")
    return Gains({name: now - one for name, one in worths.items()}, float(np.mean(noises)))
