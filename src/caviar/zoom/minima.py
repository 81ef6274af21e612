"""Where the best place of a space may lie: the minima of many functions that fit the scores alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caviar.zoom.surrogate import Array, Surrogate

ROUNDS = 5
OTHERS = 4
CANDIDATES = 300
DRAWS = 100


def likely_minima(
    surrogate: Surrogate, start: Array, snap: Callable[[Array], Array], rng: np.random.Generator
) -> Array:
    """The minima of functions drawn from fits like ``surrogate``, shape ``(OTHERS * DRAWS, columns)``.

    Each round looks closer, around the minima of the last one and along the lines between them:
    a valley that runs askew is followed that way (differential evolution's step, Storn & Price 1997).
    The last rounds draw from other fits that are about as likely, so that what the trials do not tell
    of the fit itself widens the region too.

    Args:
        start: places to look at first, spread over the space.
        snap: puts places, shape ``(n, columns)``, back into the space, in the form the surrogate has.
    """
    found = _minima(surrogate, start, rng)
    step = 0.2
    for _ in range(ROUNDS - 1):
        found = _minima(surrogate, _around(found, step, snap, rng), rng)
        step *= 0.6
    last = []
    for other in surrogate.others(OTHERS, rng):
        found = _minima(other, _around(found, step, snap, rng), rng)
        last.append(found)
    return np.vstack(last)


def _around(
    found: Array, step: float, snap: Callable[[Array], Array], rng: np.random.Generator
) -> Array:
    """``found``, and new places near them and on the lines between them."""
    half = CANDIDATES // 2

    def some() -> Array:
        return found[rng.integers(len(found), size=half)]

    near = some() + step * rng.standard_normal((half, found.shape[1]))
    along = some() + rng.standard_normal((half, 1)) * (some() - some())
    along += 0.2 * step * rng.standard_normal(along.shape)
    return np.vstack([snap(np.vstack([near, along])), np.unique(found, axis=0)])


def _minima(surrogate: Surrogate, places: Array, rng: np.random.Generator) -> Array:
    return places[surrogate.draw(places, DRAWS, rng).argmin(axis=1)]
