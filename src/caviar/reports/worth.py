"""What the best trials of a sweep are worth, read off its tables."""

from __future__ import annotations

import numpy as np

from caviar.reports.expected import Expected, expected
from caviar.reports.noise import noise_of
from caviar.reports.verdicts.base import Evidence
from caviar.zoom.coordinates import Coordinates

SHOWN = 10
"""Trials of which it is told: as many as the last table of a sweep has rows."""


def worth(evidence: Evidence) -> dict[int, Expected]:
    """By number, what each of the best trials is worth on a fresh seed; empty where that is not known.

    Of a trial with several objectives, or of one that repeats another sweep's, nothing is told.
    """
    table = evidence.complete
    if not len(table) or not evidence.space.hyperparameters:
        return {}
    coordinates = Coordinates(evidence.space)
    names = {h.name: evidence.column(h) for h in evidence.space.hyperparameters}
    rows = table[[column for column in names.values() if column in table]].to_dict("records")
    points = []
    for row in rows:
        held = {name: row[column] for name, column in names.items() if column in row}
        points.append(coordinates.point({k: v for k, v in held.items() if _there(v)}))
    found = np.array(points)
    usable = np.isfinite(found).all(axis=1)
    numbers = table.index[usable]
    shown = min(SHOWN, len(numbers))
    told = expected(
        table["loss"].to_numpy(float)[usable],
        range(shown),
        found[usable],
        coordinates.groups,
        noise_of(evidence),
        evidence.sign,
    )
    return {int(number): one for number, one in zip(numbers, told, strict=False)}


def _there(value: object) -> bool:
    return isinstance(value, list | dict | str) or (value is not None and value == value)
