"""The one model of a sweep that verdicts answer from: where zoom would go, and what to expect there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from caviar.base.errors import UsageError
from caviar.reports.importance import IDLE, importance
from caviar.reports.noise import noise_of
from caviar.reports.verdicts.base import Evidence, is_there
from caviar.space.hyperparameters import Hyperparameter
from caviar.space.space import Space
from caviar.zoom.coordinates import Coordinates
from caviar.zoom.gain import Gains, expected_gains
from caviar.zoom.next_space import THIN, Tried, Zoom, as_tried, no_fault, zoom

FEWEST = 8
"""Complete trials that it takes to expect anything."""
OUTSIDE = 0.1
"""Of a hyperparameter's width: what lies further beyond an end is taken to be as good as that."""
MOST = 200
"""New trials that are played through."""


def tried(evidence: Evidence) -> list[Tried]:
    """The trials that say something of their values, and the earlier ones that the sweep began with."""
    columns = {h.name: evidence.column(h) for h in evidence.space.hyperparameters}
    coordinates = Coordinates(evidence.space)
    ended = []
    rows = [*evidence.trials.to_dict("records"), *evidence.earlier.to_dict("records")]
    for row in rows:
        held = {name: row[c] for name, c in columns.items() if is_there(row.get(c))}
        outside = row.get("baseline") == "outside"
        if not outside and not no_fault(row.get("error")) and coordinates.can_place(held):
            value = row.get("value")
            loss = math.nan if value is None else evidence.sign * float(value)
            ended.append((row["state"], loss, held))
    return as_tried(ended)


def zoomed(evidence: Evidence) -> Zoom | str:
    """Where ``caviar zoom`` would go, or why it would not."""
    cache = evidence.__dict__.setdefault("_model_cache", {})
    if "zoom" not in cache:
        try:
            # Nothing is moved for a hyperparameter of which the figure says that it is chance.
            sure = [h.name for h in evidence.space.hyperparameters if _sure(evidence, h)]
            cache["zoom"] = zoom(evidence.space, tried(evidence), sure)
        except UsageError as error:
            cache["zoom"] = str(error).removeprefix(f"zoom: {THIN}: ")
    return cache["zoom"]


def _sure(evidence: Evidence, h: Hyperparameter) -> bool:
    return importance(evidence, h).p <= IDLE


def gains(evidence: Evidence, narrower: Iterable[Hyperparameter] = ()) -> Gains | None:
    """What as many trials again are expected to gain: ``more`` of the same, ``zoom``, and ``below``, where
    some hyperparameters are ``narrower``. None where too few trials are complete.
    """
    trials = tried(evidence)
    complete = [t for t in trials if t.loss is not None and math.isfinite(t.loss)]
    failed = [t for t in trials if t.loss is None]
    losses = np.array([t.loss for t in complete], dtype=float)
    if len(complete) < FEWEST or np.ptp(losses) == 0:
        return None
    coordinates = Coordinates(evidence.space)
    points = np.array([coordinates.point(t.values) for t in [*complete, *failed]])
    rng = np.random.default_rng(0)
    count = min(len(trials), MOST)

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
    noise = noise_of(evidence)
    known = None if noise is None else (noise.sd, noise.spread)
    return expected_gains(losses, points, coordinates.groups, ways, known)


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
