"""What more trials are expected to gain, by the surrogate of a sweep's scores and the noise of retraining.

The sweep's future is played through many times. A draw from the surrogate's posterior says what each trial
is worth and what each new one would be; noise is added to the new scores, and the best score is picked, as
a person would pick it. By how much that is worth more than the best score of now is in the mean the
expected gain (the value of information, Howard 1966; Frazier 2018, "A tutorial on
Bayesian optimization", section 4, where one trial more is picked by its expectation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from caviar.zoom.scores import kept, tempered
from caviar.zoom.surrogate import Array, Surrogate

DRAWS = 400
OTHERS = 3
"""Settings of the surrogate that are averaged over, beside the likeliest."""
TOP = 30
"""Trials of the sweep that may be the best one."""
ROUGH = 0.6
"""How rough a landscape may be beside the noise, as in `caviar.reports.expected`."""
PICKED, SEEDS = 5, 10
"""The best trials that ``caviar confirm`` trains again, and over how many seeds."""


@dataclass(frozen=True)
class Gains:
    """What each way to go on is expected to gain, in the score's unit, more being better.

    Attributes:
        of: by way; ``confirm`` among them: ten fresh seeds for each of the five best.
        noise: the standard deviation of a score under retraining.
    """

    of: Mapping[str, float]
    noise: float


@threadpool_limits.wrap(limits=1)
def expected_gains(
    losses: Array,
    points: Array,
    groups: list[int],
    ways: Mapping[str, Array],
    noise: tuple[float, float] | None,
    seed: int = 0,
) -> Gains:
    """What ways to go on are expected to gain.

    Args:
        losses: of the complete trials.
        points: of all trials, the failed ones last; shape ``(trials, columns)``.
        groups: see `Surrogate`.
        ways: by name, the places of its new trials, shape ``(new, columns)``.
        noise: what is known of a score's luck: its standard deviation, and that of its logarithm.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    smooth = tempered(losses)
    smooth = np.append(smooth, [smooth.max()] * (len(points) - len(losses)))
    taken = kept(losses, len(points) - len(losses), rng)
    known = None if noise is None else (1.2 * noise[0], noise[1] + 0.2)
    first = Surrogate(points[taken], smooth[taken], groups, known)
    best = np.argsort(losses, kind="stable")[:TOP]
    gains: dict[str, list[float]] = {name: [] for name in (*ways, "confirm")}
    noises = []
    for surrogate in [first, *first.others(OTHERS, rng)]:
        # What no place explains is luck as far as it can be; the rest is a trial's own worth.
        whole = surrogate.noise_sd
        luck = min(noise[0], whole) if noise else whole
        rough = min(np.sqrt(whole**2 - luck**2), ROUGH * luck)
        sd = float(np.sqrt(whole**2 - rough**2))
        noises.append(sd)
        for name, places in {"confirm": points[:0], **ways}.items():
            drawn = surrogate.draw(np.vstack([points[best], places]), DRAWS, rng)
            worth = drawn + rough * rng.standard_normal(drawn.shape)
            # What of a trial's score the draw does not explain is its own worth, in part.
            own = rough**2 / max(rough**2 + sd**2, 1e-300)
            left = smooth[best] - drawn[:, : len(best)]
            unknown = rough * np.sqrt(1 - own) * rng.standard_normal(left.shape)
            worth[:, : len(best)] = drawn[:, : len(best)] + own * left + unknown
            if name == "confirm":
                top = worth[:, :PICKED]
                again = top + sd / np.sqrt(SEEDS) * rng.standard_normal(top.shape)
                picked = again.argmin(1)
            else:
                new = worth[:, len(best) :]
                scores = new + sd * rng.standard_normal(new.shape)
                picked = np.hstack([np.tile(smooth[best], (DRAWS, 1)), scores]).argmin(1)
            after = worth[np.arange(DRAWS), picked]
            gains[name].append(float((worth[:, 0] - after).mean()))
    return Gains(
        {name: float(np.mean(found)) for name, found in gains.items()}, float(np.mean(noises))
    )
