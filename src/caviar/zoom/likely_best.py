"""Where a sweep's scores are likely best, by the surrogate that zoom goes by: no trial's luck is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from caviar.space.space import Space
from caviar.zoom.coordinates import Coordinates
from caviar.zoom.next_space import Tried
from caviar.zoom.scores import fit_scores

PLACES = 2000


@threadpool_limits.wrap(limits=1)
def likely_best(space: Space, trials: Sequence[Tried], seed: int = 0) -> dict[str, Any]:
    """The values, by name, where the surrogate of some complete trials expects the best score: of all
    that were tried, and of `PLACES` draws from the space.
    """
    rng = np.random.default_rng(seed)
    coordinates = Coordinates(space)
    points = np.array([coordinates.point(trial.values) for trial in trials])
    losses = np.array([trial.loss for trial in trials], dtype=float)
    surrogate = fit_scores(losses, points, coordinates.groups, rng).surrogate
    places = np.vstack([points, coordinates.draw(PLACES, rng)])
    return coordinates.values(places[int(surrogate.mean(places).argmin())])
