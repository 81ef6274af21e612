"""Where the best place of a space may lie: the minima of many functions that fit the scores alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caviar.sweep.surrogate import Array, Surrogate

ROUNDS = 7
CANDIDATES = 300
DRAWS = 100


def likely_minima(
    surrogate: Surrogate, start: Array, snap: Callable[[Array], Array], rng: np.random.Generator
) -> Array:
    """The minimum of each of `DRAWS` functions drawn from ``surrogate``, shape ``(DRAWS, columns)``.

    Each round looks closer, around the minima of the last one and along the lines between them:
    a valley that runs askew is followed that way (differential evolution's step, Storn & Price 1997).

    Args:
        start: places to look at first, spread over the space.
        snap: puts places, shape ``(n, columns)``, back into the space, in the form the surrogate has.
    """
    places = start
    half = CANDIDATES // 2
    for round_ in range(ROUNDS):
        found = _minima(surrogate, places, rng)
        step = 0.2 * 0.6**round_

        def some(found: Array = found) -> Array:
            return found[rng.integers(len(found), size=half)]

        wide = some() + step * rng.standard_normal((half, found.shape[1]))
        along = some() + rng.standard_normal((half, 1)) * (some() - some())
        along += 0.2 * step * rng.standard_normal(along.shape)
        places = np.vstack([snap(np.vstack([wide, along])), found])
    return _minima(surrogate, places, rng)


def _minima(surrogate: Surrogate, places: Array, rng: np.random.Generator) -> Array:
    return places[surrogate.draw(places, DRAWS, rng).argmin(axis=1)]
