"""What the best trials of a sweep are worth, read off its tables."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from caviar.reports.expected import Expected, expected, unpicked
from caviar.reports.noise import noise_of
from caviar.reports.verdicts.base import Evidence, is_there
from caviar.sweep.record import CANDIDATE
from caviar.zoom.coordinates import Coordinates

_SHARE = re.compile(r"acc|auroc|auc|f1|precision|recall|r2", re.I)
"""Names of metrics that are at most 1."""
SHOWN = 10
"""Trials of which it is told: as many as the last table of a sweep has rows."""


def worth(evidence: Evidence) -> dict[int, Expected]:
    """By number, what each of the best trials is worth on a fresh seed, the best first, and the baseline
    where there is one; empty where that is not known.

    Nothing is told of trials with several objectives, or that repeat another sweep's.
    """
    cache = evidence.__dict__.setdefault("_worth_cache", {})
    if not cache:
        cache["worth"] = _worth(evidence)
    return cache["worth"]


def _worth(evidence: Evidence) -> dict[int, Expected]:
    table = evidence.complete
    names = {h.name: evidence.column(h) for h in evidence.space.hyperparameters}
    if not len(table) or not names or CANDIDATE in names:
        return {}
    coordinates = Coordinates(evidence.space)
    rows = table[[column for column in names.values() if column in table]].to_dict("records")
    held = [{name: row[c] for name, c in names.items() if is_there(row.get(c))} for row in rows]
    usable = np.array([coordinates.can_place(values) for values in held])
    points = [coordinates.point(v) for v, there in zip(held, usable, strict=True) if there]
    numbers = [int(number) for number in table.index[usable]]
    wanted = list(range(min(SHOWN, len(numbers))))
    wanted += [p for p in range(len(numbers)) if numbers[p] == evidence.default and p not in wanted]
    noise = noise_of(evidence)
    told = expected(
        table["loss"].to_numpy(float)[usable],
        wanted,
        np.array(points),
        coordinates.groups,
        noise,
        evidence.sign,
    )
    if evidence.sign < 0 and _SHARE.search(evidence.metric or ""):
        told = [replace(one, mean=min(one.mean, 1.0), high=min(one.high, 1.0)) for one in told]
    known = {numbers[place]: one for place, one in zip(wanted, told, strict=False)}
    default = evidence.default
    if told and default is not None and default not in table.index:
        score = float(evidence.trials["value"][default])
        known[default] = unpicked(score, told[0].noise, told[0].source)
    return known
