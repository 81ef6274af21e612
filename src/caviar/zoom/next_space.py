"""Zoom: the next space, narrower or moved, read off the trials of a finished sweep.

A surrogate is fitted to the scores (`zoom_scores`); many functions that fit them alike are drawn, and
where their minima lie is where the best may be (`likely_minima`). That is what the new space keeps, each
hyperparameter on its own scale (`zoom_lines`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from caviar.base.errors import UsageError
from caviar.runs.folder import was_stopped
from caviar.space.hyperparameters import Choice
from caviar.space.space import Space
from caviar.zoom.coordinates import Coordinates
from caviar.zoom.lines import NARROWEST, Line, Reader
from caviar.zoom.scores import fit_scores
from caviar.zoom.surrogate import Array, Surrogate

SMALLER = 0.25
"""The share of the old volume that a new space is to have at most; the less sure, the more of it."""
CARE = ((0.005, 0.03), (0.02, 0.02), (0.05, 0.01), (0.08, 0.0))
"""Tails and margins (see `Reader.lines`), from the most careful: the first that makes it small."""
THIN = "the evidence is too thin"
ROUNDS = 5
OTHERS = 4
CANDIDATES = 300
DRAWS = 100
LEAST_FIT = 0.2
"""The share of the scores' variance that must be predicted for trials left out."""


@dataclass(frozen=True)
class Tried:
    """A trial: its values as the run saw them, by name, and its loss; None where it failed."""

    values: Mapping[str, Any]
    loss: float | None


Ended = tuple[str, float, Mapping[str, Any]]
"""A trial's state (Optuna's word), its loss (NaN without a score), and its values by name."""


def as_tried(ended: Iterable[Ended]) -> list[Tried]:
    """Trials that have ended; one that was pruned is no better than the median of the complete."""
    ended = list(ended)
    complete = [loss for state, loss, _ in ended if state == "COMPLETE" and not math.isnan(loss)]
    median = float(np.median(complete)) if complete else 0.0
    told = {
        "COMPLETE": lambda loss: loss,
        "PRUNED": lambda loss: median if math.isnan(loss) else max(loss, median),
        "FAIL": lambda loss: None,
    }
    return [Tried(values, told[state](loss)) for state, loss, values in ended if state in told]


def no_fault(error: object) -> bool:
    """Whether the values are not to blame: the trial was stopped, or its worker lost."""
    return was_stopped(error) or str(error).startswith("WorkerLost")


@dataclass(frozen=True)
class Zoom:
    """The next space.

    Attributes:
        lines: one a hyperparameter that is left.
        when: the conditions that are left.
        best: the values of the best trial.
        likely: the values where the scores are likely best.
        fit: the share of the scores' variance that was predicted for trials left out.
        gone: hyperparameters that can exist no more.
    """

    lines: list[Line]
    when: dict[str, dict[str, list[Any]]]
    best: Mapping[str, Any]
    likely: Mapping[str, Any]
    fit: float
    gone: list[str] = field(default_factory=list)

    @property
    def volume(self) -> float:
        """The new space's volume as a share of the old, a fixed hyperparameter left out of both."""
        return math.prod(line.share for line in self.lines if line.kind != "fixed")

    @property
    def volume_in_words(self) -> str:
        """`volume`, as a person would say it."""
        return f"1/{1 / self.volume:.0f}" if 0 < self.volume < 0.5 else f"{self.volume:.2g}"


# These matrices are too small to share out: beside busy workers, threads would wait for each other.
@threadpool_limits.wrap(limits=1)
def zoom(
    space: Space,
    trials: Sequence[Tried],
    beyond: Container[str] | None = None,
    seed: int = 0,
    narrowest: float = NARROWEST,
) -> Zoom:
    """The next space after ``trials`` in ``space``.

    Args:
        beyond: the hyperparameters that may reach beyond their old ends where the best lies there; None
            for all.
        seed: of the draws.
        narrowest: the share of its width that every interval keeps at least.

    Raises:
        UsageError: the trials are too few, or say too little, to tell where to look.
    """
    complete = [trial for trial in trials if trial.loss is not None and math.isfinite(trial.loss)]
    needed = max(8, 3 * len(space.hyperparameters))
    if len(complete) < needed:
        raise _thin(
            f"{len(complete)} trials are complete, and {len(space.hyperparameters)} "
            f"hyperparameters ask for {needed}"
        )
    losses = np.array([trial.loss for trial in complete], dtype=float)
    if np.ptp(losses) == 0:
        raise _thin(f"all {len(losses)} trials have the same score")
    best = complete[int(losses.argmin())].values
    failed = [trial for trial in trials if trial.loss is None]
    coordinates = Coordinates(space)
    points = np.array([coordinates.point(trial.values) for trial in [*complete, *failed]])
    rng = np.random.default_rng(seed)
    fit = fit_scores(losses, points, coordinates.groups, rng)
    if fit.share < LEAST_FIT:
        raise _thin(
            f"of a trial that is left out, the others predict {max(fit.share, 0):.0%} of the "
            f"variance of the score, and {LEAST_FIT:.0%} are needed"
        )
    start = np.vstack([coordinates.draw(300, rng), points[np.argsort(fit.smooth)[:50]]])
    minima = likely_minima(fit.surrogate, start, coordinates.snap, rng)
    beyond = [h.name for h in space.hyperparameters] if beyond is None else beyond
    reader = Reader(coordinates, fit, minima, best, beyond, narrowest, rng)
    for tail, margin in CARE:
        found = _next(space, reader.lines(tail, margin), best, reader.centre, fit.share)
        if found.volume <= SMALLER:
            break
    changed = {"moved", "widened", "fixed"} & {line.kind for line in found.lines}
    if found.volume > 0.8 and not changed:
        raise _thin(f"the best may still lie in {min(found.volume, 1):.0%} of the space")
    return found


def _next(
    space: Space, lines: list[Line], best: Mapping[str, Any], likely: Mapping[str, Any], fit: float
) -> Zoom:
    """Settle the conditions on what is now fixed or gone, and drop what can exist no more."""
    by_name = {line.name: line for line in lines}
    gone = [h.name for h in space.hyperparameters if h.name not in by_name]
    when: dict[str, dict[str, list[Any]]] = {}
    for h in space.hyperparameters:
        for parent, allowed in space.conditions.get(h.name, {}).items():
            options = _options(by_name.get(parent))
            left = [value for value in allowed if value in options]
            if h.name in by_name and not left:
                del by_name[h.name]
                gone.append(h.name)
            elif h.name in by_name and len(left) < len(options):
                when.setdefault(h.name, {})[parent] = left
    when = {name: parents for name, parents in when.items() if name in by_name}
    return Zoom([line for line in lines if line.name in by_name], when, best, likely, fit, gone)


def _options(line: Line | None) -> Sequence[Any]:
    if line is None:
        return []
    if line.now is None:
        return [line.value]
    return line.now.options if isinstance(line.now, Choice) else line.now.values  # type: ignore


def _thin(reason: str) -> UsageError:
    return UsageError(f"zoom: {THIN}: {reason}")


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
