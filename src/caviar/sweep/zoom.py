"""Zoom: the next space, narrower or moved, read off the trials of a finished sweep.

Many functions that fit the scores are drawn (`caviar.sweep.surrogate`); where their minima lie is
where the best place may be. That is what the new space keeps, each hyperparameter on its own scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from caviar.errors import UsageError
from caviar.space.grammar import as_override
from caviar.space.hyperparameters import Choice, Hyperparameter, Interval, Range
from caviar.space.scales import LINEAR, REVERSE_LOG
from caviar.space.space import Space
from caviar.sweep.coordinates import Coordinates, position, value_at
from caviar.sweep.minima import likely_minima
from caviar.sweep.surrogate import MOST, Array, Surrogate

TAIL = 0.03
"""The share of the likely minima that may lie outside, on each side."""
MARGIN = 0.02
NARROWEST = 0.2
"""Of the old width: one sweep's word is not taken for more."""
AT_EDGE = 0.25
"""With this share of the likely minima at an end, the best may lie beyond it."""
EDGE = 0.02
BEYOND = 0.5
"""How far a space moves beyond an end, in its old widths."""
RARE = 0.05
"""An option that is the best one in fewer of the draws goes."""
FLAT = 0.05
"""A hyperparameter matters if it moves the score by this share of the best trial's lead on the median."""
LEAST_FIT = 0.2
"""The share of the scores' variance that must be foretold for trials left out."""


@dataclass(frozen=True)
class Tried:
    """A trial: its values as the run saw them, by name, and its loss; None where it failed."""

    values: Mapping[str, Any]
    loss: float | None


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
        if isinstance(self.now, Choice):
            return f"choice({', '.join(_text(option) for option in self.now.options)})"
        if self.now is None:
            return _text(self.value) if isinstance(self.value, str | list | dict) else self.value
        return str(self.now)


@dataclass(frozen=True)
class Zoom:
    """The next space.

    Attributes:
        lines: one a hyperparameter that is left.
        when: the conditions that are left.
        best: the values of the best trial.
        fit: the share of the scores' variance that was foretold for trials left out.
    """

    lines: list[Line]
    when: dict[str, dict[str, list[Any]]]
    best: Mapping[str, Any]
    fit: float
    gone: list[str] = field(default_factory=list)

    @property
    def volume(self) -> float:
        """The new space's volume as a share of the old, a fixed hyperparameter left out of both."""
        return math.prod(line.share for line in self.lines if line.kind != "fixed")


def zoom(space: Space, trials: Sequence[Tried], beyond: bool = True, seed: int = 0) -> Zoom:
    """The next space after ``trials`` in ``space``.

    Args:
        beyond: whether it may reach beyond the old one where the best lies at an end.
        seed: of the draws.

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
    best = complete[int(losses.argmin())]
    coordinates = Coordinates(space)
    points = np.array([coordinates.point(trial.values) for trial in complete])
    failed = [coordinates.point(trial.values) for trial in trials if trial.loss is None]
    if failed:
        points = np.vstack([points, failed])
    rng = np.random.default_rng(seed)
    taken = _most_telling(losses, len(failed), rng)
    smooth, surrogate = min(
        (_fitted(points, form(losses), taken, coordinates.groups) for form in (tempered, scored)),
        key=lambda pair: _confusion(pair[1], losses, taken),
    )
    error = surrogate.left_out() - smooth[taken]
    fit = 1 - float((error**2).mean() / smooth[taken].var())
    if fit < LEAST_FIT:
        raise _thin(
            f"of a trial that is left out, the others foretell {max(fit, 0):.0%} of the variance "
            f"of the score, and {LEAST_FIT:.0%} are needed"
        )
    start = np.vstack([coordinates.draw(300, rng), points[np.argsort(smooth)[:50]]])
    minima = likely_minima(surrogate, start, coordinates.snap, rng)
    lead = float(np.median(smooth) - smooth.min())
    reader = _Reader(coordinates, surrogate, minima, best, lead, beyond, rng)
    lines = [reader.line(h) for h in space.hyperparameters]
    found = _prune(space, [line for line in lines if line is not None], best.values, fit)
    changed = {"moved", "widened", "fixed"} & {line.kind for line in found.lines}
    if found.volume > 0.8 and not changed:
        raise _thin(f"the best may still lie in {min(found.volume, 1):.0%} of the space")
    return found


def tempered(losses: Array) -> Array:
    """``losses`` with those that are far out drawn in: a diverged trial is bad, no matter how bad.

    Far out is beyond the upper quartile plus 3 interquartile ranges (Tukey 1977); there, a logarithm.
    """
    low, high = np.quantile(losses, 0.25), np.quantile(losses, 0.75)
    unit = high - low
    if unit == 0:
        return losses
    knee = high + 3 * unit
    over = np.maximum(losses - knee, 0) / unit
    return np.where(losses > knee, knee + unit * np.log1p(over), losses)


def scored(losses: Array) -> Array:
    """The normal scores of the losses' ranks: it brings out small differences between good trials."""
    return norm.ppf((rankdata(losses) - 0.5) / len(losses))


def _fitted(
    points: Array, smooth: Array, taken: NDArray[np.intp], groups: list[int]
) -> tuple[Array, Surrogate]:
    # Where training broke down is no place to go: as bad as the worst.
    smooth = np.append(smooth, [smooth.max()] * (len(points) - len(smooth)))
    return smooth, Surrogate(points[taken], smooth[taken], groups)


def _confusion(surrogate: Surrogate, losses: Array, taken: NDArray[np.intp]) -> float:
    """How badly the better half of the trials is ranked, each by the others: 0 (well) to 2."""
    good = np.flatnonzero(taken < len(losses))
    known = losses[taken[good]]
    good = good[known <= np.median(losses)]
    ranks = rankdata(surrogate.left_out()[good]), rankdata(losses[taken[good]])
    spread = [float(np.std(rank)) for rank in ranks]
    if min(spread) == 0:
        return 1.0
    return 1 - float(np.corrcoef(*ranks)[0, 1])


class _Reader:
    """Reads what becomes of each hyperparameter off the likely minima."""

    def __init__(
        self,
        coordinates: Coordinates,
        surrogate: Surrogate,
        minima: Array,
        best: Tried,
        lead: float,
        beyond: bool,
        rng: np.random.Generator,
    ) -> None:
        self._coordinates = coordinates
        self._surrogate = surrogate
        self._minima = minima
        self._values = [coordinates.values(point) for point in minima]
        self._centre = minima[surrogate.mean(minima).argmin()]
        self._best = best
        self._lead = lead
        self._beyond = beyond
        self._rng = rng

    def line(self, h: Hyperparameter) -> Line | None:
        """None: it exists in none of the likely best places."""
        found = [values[h.name] for values in self._values if h.name in values]
        if len(found) < max(RARE * len(self._values), 2):
            return None
        moves = self._moves(h)
        if moves < FLAT:
            value = self._best.values.get(h.name, found[0])
            reason = f"it moves the score by less than {FLAT:.0%} of the best trial's lead"
            return Line(h.name, "fixed", f"{reason}; the best trial's value", None, value, 0.0)
        if isinstance(h, Choice):
            return self._choice(h, found)
        return self._number(h, np.array([position(h, value) for value in found]))

    def _moves(self, h: Hyperparameter) -> float:
        """By how much it may move the score where the best lies, as a share of the lead."""
        centre = self._centre
        if h.name not in self._coordinates.values(centre):
            having = [h.name in values for values in self._values]
            centre = self._minima[int(np.argmax(having))]
        values = self._coordinates.values(centre)
        line = [{**values, h.name: h.from_study(value)} for value in h.spread(9)]
        places = np.array([self._coordinates.point(values) for values in line])
        ranges = np.ptp(self._surrogate.draw(places, 100, self._rng), axis=1)
        return float(np.quantile(ranges, 0.9)) / max(self._lead, 1e-12)

    def _choice(self, h: Choice, found: list[Any]) -> Line:
        label = [h.to_study(value) for value in found]
        shares = {
            _text(option): label.count(h.to_study(option)) / len(label) for option in h.options
        }
        mine = self._best.values.get(h.name)
        kept = [
            option
            for option in h.options
            if shares[_text(option)] >= RARE or h.to_study(option) == h.to_study(mine)
        ]
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        reason = f"how often each is the best: {told}"
        if len(kept) == 1:
            return Line(h.name, "fixed", reason, None, kept[0], 1 / len(h.options))
        kind = "kept" if len(kept) == len(h.options) else "narrowed"
        now = Choice(h.name, tuple(kept))
        return Line(h.name, kind, reason, now, share=len(kept) / len(h.options))

    def _number(self, h: Hyperparameter, places: Array) -> Line:
        low, high = np.quantile(places, TAIL), np.quantile(places, 1 - TAIL)
        if self._best.values.get(h.name) is not None:
            place = position(h, self._best.values[h.name])
            low, high = min(low, place), max(high, place)
        low, high = low - MARGIN, high + MARGIN
        centre, half = (low + high) / 2, max(high - low, NARROWEST) / 2
        low, high = max(centre - half, 0.0), min(centre + half, 1.0)
        at_low, at_high = (places <= EDGE).mean(), (places >= 1 - EDGE).mean()
        told = f"{1 - 2 * TAIL:.0%} of the likely best places lie in it"
        if at_low >= AT_EDGE and at_high >= AT_EDGE:
            reason = "the likely best places lie at both ends: the trials do not tell"
            return Line(h.name, "kept", reason, h)
        if self._beyond and max(at_low, at_high) >= AT_EDGE:
            down = at_low >= AT_EDGE
            wanted = (-BEYOND, high) if down else (low, 1 + BEYOND)
            moved = _reach(h, *wanted)
            share = _width(h, moved) / _width(h, h)
            end = _end(h, moved, down)
            if end != _end(h, h, down):
                kind = "widened" if share > 1 else "moved"
                told = f"{max(at_low, at_high):.0%} of the likely best places lie at the end"
                return Line(h.name, kind, f"{told} {_short(_end(h, h, down))}", moved, share=share)
            told += f"; it ends at {_short(end)} by its nature"
        now = _reach(h, low, high)
        if isinstance(now, Range) and len(now.values) == 1:
            return Line(h.name, "fixed", told, None, now.values[0], _width(h, now) / _width(h, h))
        share = min(_width(h, now) / _width(h, h), 1.0)
        return Line(h.name, "narrowed" if share < 1 else "kept", told, now, share=share)


def _reach(h: Hyperparameter, low: float, high: float) -> Interval | Range:
    """The hyperparameter between two positions of the old one, which may lie beyond its ends."""
    if isinstance(h, Range):
        count = len(h.values) - 1
        first, last = math.floor(low * count + 1e-9), math.ceil(high * count - 1e-9)
        if low >= 0 and high <= 1:
            # Lattice points inside; where there is none, the nearest one.
            first, last = math.ceil(low * count - 1e-9), math.floor(high * count + 1e-9)
            first, last = (first, last) if first <= last else (round((low + high) / 2 * count),) * 2
        if h.start >= 0:
            # Not below 0, and a count that began at 1 or more not below 1.
            floor = 1 if h.integer and h.start >= 1 else 0
            first = max(first, -math.floor((h.start - floor) / h.step + 1e-9))
        start, stop = h.start + first * h.step, h.start + (last + 1) * h.step
        return Range(h.name, start, stop, h.step)
    assert isinstance(h, Interval)
    a, b = h.scale.forward(h.low), h.scale.forward(h.high)
    ends = [h.scale.backward(a + place * (b - a)) for place in (low, high)]
    ends = [_rounded(h, end, up) for end, up in zip(ends, (False, True), strict=True)]
    if low >= 0:
        ends[0] = max(ends[0], h.low)
    if high <= 1:
        ends[1] = min(ends[1], h.high)
    floor, ceiling = _nature(h)
    first, last = max(ends[0], floor), min(ends[1], ceiling)
    if h.integer and first == last:
        first, last = max(first - 1, int(h.low)), min(last + 1, int(h.high))
    return Interval(h.name, first, last, h.scale, h.integer)


def _nature(h: Interval) -> tuple[float, float]:
    """Bounds that no value passes: a count stays 1 or more, a share between 0 and 1."""
    if h.integer:
        return (1 if h.low >= 1 else 0 if h.low >= 0 else -math.inf), math.inf
    if h.scale is LINEAR and h.low >= 0:
        return 0.0, (h.high if h.high == 1 else 0.99) if h.high <= 1 else math.inf
    return (0.0 if h.scale is REVERSE_LOG else -math.inf), math.inf


def _rounded(h: Interval, value: float, up: bool) -> float:
    """Outward to three digits: what a person would write."""
    if h.integer:
        return math.ceil(value - 1e-9) if up else math.floor(value + 1e-9)
    # On reverse_log the digits that count are those of 1 - x.
    mirrored = h.scale is REVERSE_LOG
    number, up = (1 - value, not up) if mirrored else (value, up)
    span = abs(h.high - h.low) if h.scale is LINEAR else abs(number)
    if number == 0 or span == 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(span)) - 2)
    steps = math.ceil(number / unit - 1e-6) if up else math.floor(number / unit + 1e-6)
    rounded = float(f"{steps * unit:.12g}")
    return float(f"{1 - rounded:.12g}") if mirrored else rounded


def _width(h: Hyperparameter, now: Hyperparameter) -> float:
    if isinstance(now, Range):
        return len(now.values)
    assert isinstance(now, Interval)
    margin = 0.5 if now.integer else 0.0
    return abs(now.scale.forward(now.high + margin) - now.scale.forward(now.low - margin))


def _end(h: Hyperparameter, now: Hyperparameter, low: bool) -> float:
    if isinstance(now, Range):
        return now.values[0 if low else -1]
    assert isinstance(now, Interval)
    return now.low if low else now.high


def _short(value: float) -> str:
    return f"{value:.4g}"


def _prune(space: Space, lines: list[Line], best: Mapping[str, Any], fit: float) -> Zoom:
    """Settle the conditions on what is now fixed or gone, and drop what can exist no more."""
    by_name = {line.name: line for line in lines}
    gone = [h.name for h in space.hyperparameters if h.name not in by_name]
    when: dict[str, dict[str, list[Any]]] = {}
    for h in space.hyperparameters:
        for parent, allowed in space.conditions.get(h.name, {}).items():
            line = by_name.get(parent)
            options = _options(line)
            left = [value for value in allowed if value in options]
            if h.name in by_name and not left:
                del by_name[h.name]
                gone.append(h.name)
            elif h.name in by_name and len(left) < len(options):
                when.setdefault(h.name, {})[parent] = left
    when = {name: parents for name, parents in when.items() if name in by_name}
    return Zoom([line for line in lines if line.name in by_name], when, best, fit, gone)


def _options(line: Line | None) -> list[Any]:
    if line is None:
        return []
    if line.now is None:
        return [line.value]
    return list(line.now.options if isinstance(line.now, Choice) else line.now.values)  # type: ignore


def _most_telling(losses: Array, failed: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows for the surrogate: all, or, of very many, the best half and others by chance."""
    count = len(losses) + failed
    if count <= MOST:
        return np.arange(count)
    order = np.append(np.argsort(losses), np.arange(len(losses), count))
    rest = rng.choice(order[MOST // 2 :], MOST - MOST // 2, replace=False)
    return np.concatenate([order[: MOST // 2], rest])


def _text(value: Any) -> str:
    return as_override("x", value).partition("=")[2]


def _thin(reason: str) -> UsageError:
    return UsageError(f"zoom: the evidence is too thin: {reason}")


__all__ = ["Line", "Tried", "Zoom", "tempered", "value_at", "zoom"]
