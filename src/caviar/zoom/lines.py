"""What becomes of each hyperparameter, read off the places where the best may lie."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from caviar.space.hyperparameters import Choice, Hyperparameter, Range
from caviar.space.quoting import as_text
from caviar.zoom.bounds import end_of, reach, width
from caviar.zoom.coordinates import Coordinates, position
from caviar.zoom.scores import Fit
from caviar.zoom.surrogate import Array

NARROWEST = 0.25
"""Of the old width: one sweep's word is not taken for more."""
AT_EDGE = 0.6
"""With this share of the likely best places at an end, the best may lie beyond it."""
EDGE = 0.02
BEYOND = 0.5
"""How far a space moves beyond an end, in its old widths."""
RARE = 0.05
"""An option that is the best one in fewer of the draws goes."""
FLAT = 0.05
"""A hyperparameter matters if it moves the score by this share of the best trial's lead on the median."""
KNOWN = 0.4
"""A quarter of that is enough where the likely best places lie in this share of its width."""


@dataclass(frozen=True)
class Line:
    """What becomes of one hyperparameter.

    Attributes:
        kind: ``narrowed``, ``moved``, ``widened``, ``kept`` or ``fixed``.
        reason: why, in words and numbers.
        now: the new hyperparameter; None where it is fixed.
        value: what it is fixed at.
        share: its new width, as a share of the old.
    """

    name: str
    kind: str
    reason: str
    now: Hyperparameter | None
    value: Any = None
    share: float = 1.0

    @property
    def text(self) -> Any:
        """Its entry in a ``params`` block."""
        if self.now is None:
            return as_text(self.value) if isinstance(self.value, str | list | dict) else self.value
        return str(self.now)


class Reader:
    """Reads lines off the likely best places.

    Args:
        places: where the best may lie, shape ``(places, columns)``.
        best: the best trial's values.
        beyond: the hyperparameters that may reach beyond the old space.
        narrowest: the share of its width that an interval keeps at least.

    Attributes:
        centre: the values of the likeliest of ``places``.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        fit: Fit,
        places: Array,
        best: Mapping[str, Any],
        beyond: Container[str],
        narrowest: float,
        rng: np.random.Generator,
    ) -> None:
        self._coordinates = coordinates
        self._values = [coordinates.values(place) for place in places]
        self._best = best
        self._beyond = beyond
        self._narrowest = narrowest
        centre = places[fit.surrogate.mean(places).argmin()]
        self.centre = coordinates.values(centre)
        self._moves = {
            h.name: self._range(h, fit, centre, places, rng) / fit.lead
            for h in coordinates.space.hyperparameters
        }

    def lines(self, tail: float, margin: float) -> list[Line]:
        """A line for each hyperparameter that exists in likely best places.

        Args:
            tail: the share of these places that may be left outside, on each side of an interval.
            margin: by how much an interval is wider than that, on each side, in its old widths.
        """
        lines = [self._line(h, tail, margin) for h in self._coordinates.space.hyperparameters]
        return [line for line in lines if line is not None]

    def _line(self, h: Hyperparameter, tail: float, margin: float) -> Line | None:
        found = [values[h.name] for values in self._values if h.name in values]
        if len(found) < max(RARE * len(self._values), 2):
            return None
        places = None if isinstance(h, Choice) else np.array([position(h, v) for v in found])
        known = places is not None and np.ptp(np.quantile(places, [0.05, 0.95])) < KNOWN
        if self._moves[h.name] < (FLAT / 4 if known else FLAT):
            value = self.centre.get(h.name, found[0])
            reason = f"it moves the score by less than {FLAT:.0%} of the best trial's lead"
            told = f"{reason}; the value where the scores are likely best"
            return Line(h.name, "fixed", told, None, value, 0.0)
        if isinstance(h, Choice):
            return self._choice(h, found)
        assert places is not None
        return self._number(h, places, tail, margin)

    def _range(
        self, h: Hyperparameter, fit: Fit, centre: Array, places: Array, rng: np.random.Generator
    ) -> float:
        """By how much it may move the score where the best lies."""
        if h.name not in self._coordinates.values(centre):
            having = [h.name in values for values in self._values]
            centre = places[int(np.argmax(having))]
        values = self._coordinates.values(centre)
        line = [{**values, h.name: h.from_study(value)} for value in h.spread(9)]
        along = np.array([self._coordinates.point(values) for values in line])
        ranges = np.ptp(fit.surrogate.draw(along, 100, rng), axis=1)
        return float(np.quantile(ranges, 0.9))

    def _choice(self, h: Choice, found: list[Any]) -> Line:
        label = [h.to_study(value) for value in found]
        shares = [label.count(h.to_study(option)) / len(label) for option in h.options]
        mine = h.to_study(self._best.get(h.name))
        kept = [
            option
            for option, share in zip(h.options, shares, strict=True)
            if share >= RARE or h.to_study(option) == mine
        ]
        told = ", ".join(f"{as_text(o)} {s:.0%}" for o, s in zip(h.options, shares, strict=True))
        reason = f"how often each is the best: {told}"
        if len(kept) == 1:
            return Line(h.name, "fixed", reason, None, kept[0], 1 / len(h.options))
        kind = "kept" if len(kept) == len(h.options) else "narrowed"
        now = Choice(h.name, tuple(kept))
        return Line(h.name, kind, reason, now, share=len(kept) / len(h.options))

    def _number(self, h: Hyperparameter, places: Array, tail: float, margin: float) -> Line:
        low, high = np.quantile(places, tail), np.quantile(places, 1 - tail)
        if self._best.get(h.name) is not None:
            place = position(h, self._best[h.name])
            low, high = min(low, place), max(high, place)
        low, high = low - margin, high + margin
        centre, half = (low + high) / 2, max(high - low, self._narrowest) / 2
        low, high = max(centre - half, 0.0), min(centre + half, 1.0)
        at_low, at_high = (places <= EDGE).mean(), (places >= 1 - EDGE).mean()
        told = f"{1 - 2 * tail:.0%} of the likely best places lie in it"
        if h.name in self._beyond and max(at_low, at_high) >= AT_EDGE:
            down = at_low >= AT_EDGE
            moved = reach(h, *((-BEYOND, high) if down else (low, 1 + BEYOND)))
            share = width(moved) / width(h)
            end = end_of(moved, down)
            if end != end_of(h, down):
                kind = "widened" if share > 1 else "moved"
                told = f"{max(at_low, at_high):.0%} of the likely best places lie at the end"
                return Line(h.name, kind, f"{told} {end_of(h, down):.4g}", moved, share=share)
            told += f"; it ends at {end:.4g} by its nature"
        now = reach(h, low, high)
        share = width(now) / width(h)
        if isinstance(now, Range) and len(now.values) == 1:
            return Line(h.name, "fixed", told, None, now.values[0], share)
        share = min(share, 1.0)
        return Line(h.name, "narrowed" if share < 1 else "kept", told, now, share=share)
