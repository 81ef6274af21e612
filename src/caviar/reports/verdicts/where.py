"""Where the best may lie: beyond an end of the space, or in a small part of it? As zoom sees it."""

from __future__ import annotations

from caviar.reports.model import zoomed
from caviar.reports.verdicts.base import Evidence, Found, named, short
from caviar.space.hyperparameters import Choice, Hyperparameter, Interval, Range
from caviar.zoom.bounds import end_of
from caviar.zoom.lines import Line

SMALL = 0.35
"""Of the space: a part that is no more is a small one."""


@named("best near an edge")
def edge(evidence: Evidence) -> Found:
    """Does the best lie at an end of the space? Then a better one may lie beyond it.

    Warn where zoom moves or widens the space beyond an end.
    """
    found = zoomed(evidence)
    if isinstance(found, str):
        return "unknown", f"{found}."
    hyperparameters = {h.name: h for h in evidence.space.hyperparameters}
    told = [
        f"{line.name} (expand {_side(hyperparameters[line.name], line)}: {line.reason})"
        for line in found.lines
        if line.kind in ("moved", "widened")
    ]
    if not told:
        return "pass", "the best likely lies within the space, at no end of it."
    return (
        "warn",
        f"the best may lie beyond an end: {', '.join(told)}.",
        f"caviar zoom {evidence.name}",
    )


def _side(h: Hyperparameter, line: Line) -> str:
    assert line.now is not None
    down = end_of(line.now, True) < end_of(h, True)
    return f"{'below' if down else 'above'} {short(end_of(h, down))}"


@named("good region small")
def region(evidence: Evidence) -> Found:
    """Is the good region small? Then most further trials here would be wasted.

    Warn where the likely best places lie in a small part of the space.
    """
    found = zoomed(evidence)
    if isinstance(found, str):
        return "unknown", f"{found}."
    told = f"the best likely lies in {found.volume_in_words} of the space"
    if found.volume > SMALL:
        return "pass", f"{told}."
    narrower = [line for line in found.lines if line.kind == "narrowed"]
    lines = ", ".join(map(_narrowed, sorted(narrower, key=lambda line: line.share)))
    return "warn", f"{told}{f': {lines}' if lines else ''}.", f"caviar zoom {evidence.name}"


def _narrowed(line: Line) -> str:
    if isinstance(line.now, Choice):
        return f"{line.name} {' or '.join(map(str, line.now.options))}"
    assert isinstance(line.now, Interval | Range)
    return f"{line.name} {short(end_of(line.now, True))} to {short(end_of(line.now, False))}"
