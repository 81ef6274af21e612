"""The one model of a sweep that verdicts answer from: where zoom would go, and what to expect there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from caviar.base.errors import UsageError
from caviar.reports.evidence import Evidence
from caviar.reports.expected import Expected, expected, unpicked
from caviar.reports.importance import IDLE, importance
from caviar.reports.noise import Noise, noise_of, shared_luck
from caviar.space.hyperparameters import Hyperparameter
from caviar.space.space import Space
from caviar.sweep.record import CANDIDATE
from caviar.zoom.coordinates import Coordinates
from caviar.zoom.gain import Gains, expected_gains
from caviar.zoom.good import Good, fit_good
from caviar.zoom.next_space import THIN, Ended, Tried, Zoom, as_tried, no_fault, zoom

SHOWN = 10
"""Trials whose worth is estimated: as many as the last table of a sweep has rows."""
OUTSIDE = 0.1
"""Of a hyperparameter's width: what lies further beyond an end is taken to be as good as that."""
PLAYED = 200
"""New trials that are played through at most."""


def _ended(evidence: Evidence) -> list[tuple[int, Ended]]:
    """The trials that say something of their values, and the earlier ones that the sweep began with."""
    columns = {h.name: evidence.column(h) for h in evidence.space.hyperparameters}
    coordinates = Coordinates(evidence.space)
    found = []
    for table in (evidence.trials, evidence.earlier):
        for number, row in zip(table.index, table.to_dict("records"), strict=True):
            # NaN is not itself.
            cells = {name: row.get(column) for name, column in columns.items()}
            held = {name: cell for name, cell in cells.items() if cell is not None and cell == cell}
            outside = row.get("baseline") == "outside"
            if not outside and not no_fault(row.get("error")) and coordinates.can_place(held):
                value = row.get("value")
                loss = math.nan if value is None else evidence.sign * float(value)
                found.append((int(number), (row["state"], loss, held)))
    return found


def tried(evidence: Evidence) -> list[Tried]:
    """The trials as a model of the sweep takes them; those that say nothing of the space are left out."""
    return as_tried(one for _, one in _ended(evidence))


@lru_cache(maxsize=1)
def zoomed(evidence: Evidence) -> Zoom | str:
    """Where ``caviar zoom`` would go, or why it would not."""
    space = evidence.space
    # Nothing is moved for a hyperparameter of which the figure says that it is chance.
    sure = [h.name for h in space.hyperparameters if importance(evidence, h).p <= IDLE]
    try:
        return zoom(space, tried(evidence), sure)
    except UsageError as error:
        return str(error).removeprefix(f"zoom: {THIN}: ")


@dataclass(frozen=True)
class Fitted:
    """The sweep's good trials, fitted.

    Attributes:
        numbers: of the trials that have a score, the best first; below 0 of earlier ones.
        losses: theirs; of one that was pruned, the median at least.
        points: of all trials, the failed ones last.
        best: the places of the sweep's own best complete trials among these.
        default: the place of the default, where it is one of them.
    """

    numbers: list[int]
    losses: np.ndarray
    points: np.ndarray
    best: list[int]
    default: int | None
    noise: Noise | None
    good: Good


@lru_cache(maxsize=1)
@threadpool_limits.wrap(limits=1)
def fitted(evidence: Evidence) -> Fitted | None:
    """The fits of a sweep's good trials; None where too few are complete, all have the same score, or they
    have several objectives or repeat another sweep's.
    """
    names = {h.name for h in evidence.space.hyperparameters}
    if len(evidence.directions) != 1 or not names or CANDIDATE in names:
        return None
    ended = [one for one in _ended(evidence) if one[1][0] in ("COMPLETE", "PRUNED", "FAIL")]
    trials = as_tried(one for _, one in ended)
    states = {number: one[0] for number, one in ended}
    scored = [
        (trial.loss, number, trial)
        for (number, _), trial in zip(ended, trials, strict=True)
        if trial.loss is not None and math.isfinite(trial.loss)
    ]
    scored.sort(key=lambda one: one[0])
    failed = [trial for trial in trials if trial.loss is None]
    losses = np.array([loss for loss, _, _ in scored], dtype=float)
    if not len(losses):
        return None
    coordinates = Coordinates(evidence.space)
    values = [trial.values for trial in [*(trial for _, _, trial in scored), *failed]]
    points = np.array([coordinates.point(held) for held in values])
    numbers = [number for _, number, _ in scored]
    own = [p for p, n in enumerate(numbers) if n >= 0 and states[n] == "COMPLETE"]
    default = next((p for p in own if numbers[p] == evidence.default), None)
    best = own[:SHOWN]
    noise = noise_of(evidence)
    known = None if noise is None else (noise.sd, noise.spread)
    wanted = [*best, *([] if default is None else [default])]
    rng = np.random.default_rng(0)
    good = fit_good(losses, points, coordinates.groups, known, wanted, rng)
    return None if good is None else Fitted(numbers, losses, points, best, default, noise, good)


@lru_cache(maxsize=1)
def worth(evidence: Evidence) -> dict[int, Expected]:
    """By number, what each of the best trials is worth on a fresh seed, the best first, and the baseline
    where there is one; empty where that is not known.

    Trials with several objectives, or that repeat another sweep's, have none.
    """
    found = fitted(evidence)
    if found is None:
        return {}
    wanted = found.best
    if found.default is not None and found.default not in wanted:
        wanted = [*wanted, found.default]
    shared = shared_luck(evidence)
    worths = expected(found.losses, wanted, found.good, found.noise, evidence.sign, shared)
    if evidence.least == -1:
        worths = [replace(one, mean=min(one.mean, 1.0), high=min(one.high, 1.0)) for one in worths]
    known = {found.numbers[place]: one for place, one in zip(wanted, worths, strict=True)}
    default = evidence.default
    if worths and default is not None and default not in evidence.complete.index:
        score = float(evidence.trials["value"][default])
        known[default] = unpicked(score, worths[0].noise, worths[0].source)
    return known


def gains(evidence: Evidence, narrower: Iterable[Hyperparameter] = ()) -> Gains | None:
    """What as many trials again are expected to gain beyond a confirm now: ``more`` of the same, ``zoom``,
    and ``below``, where some hyperparameters are ``narrower``. None where nothing is `fitted`.
    """
    known = fitted(evidence)
    if known is None:
        return None
    coordinates, rng = Coordinates(evidence.space), np.random.default_rng(0)
    count = min(len(known.points), PLAYED)

    def places(space: Space, fixed: Mapping[str, Any]) -> np.ndarray:
        drawn = (space.draw(lambda h: h.from_unit(rng.random())) for _ in range(count))
        found = np.array([coordinates.point({**fixed, **values}) for values in drawn])
        # Further out the surrogate knows nothing, and hopes.
        return found.clip(-OUTSIDE, 1 + OUTSIDE)

    ways = {"more": places(evidence.space, {})}
    found = zoomed(evidence)
    if isinstance(found, Zoom):
        fixed = {line.name: line.value for line in found.lines if line.now is None}
        ways["zoom"] = places(space_of(found), fixed)
    instead = {h.name: h for h in narrower}
    if instead:
        now = tuple(instead.get(h.name, h) for h in evidence.space.hyperparameters)
        ways["below"] = places(Space(now, evidence.space.conditions), {})
    noise = None if known.noise is None else known.noise.sd
    return expected_gains(
        known.good, known.points, known.best, ways, noise, known.default, evidence.least
    )


def space_of(found: Zoom) -> Space:
    """The space of a zoom, what it fixes left out."""
    searched = [line.now for line in found.lines if line.now is not None]
    names = {h.name for h in searched}
    when = {
        name: {parent: tuple(values) for parent, values in parents.items() if parent in names}
        for name, parents in found.when.items()
        if name in names
    }
    return Space(tuple(searched), {name: parents for name, parents in when.items() if parents})
