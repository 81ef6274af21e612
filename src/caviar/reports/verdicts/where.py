"""Where the best may lie, as zoom sees it: beyond an end, in a small part, or at any value of some?"""

from __future__ import annotations

from caviar.reports.evidence import Evidence
from caviar.reports.importance import IDLE, importance
from caviar.reports.model import zoomed
from caviar.reports.verdicts.base import Found, named, short
from caviar.space.grammar import as_override
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
    ends = [
        f"{line.name} (expand {_side(hyperparameters[line.name], line)}: {line.reason})"
        for line in found.lines
        if line.kind in ("moved", "widened")
    ]
    if not ends:
        return "pass", "the best likely lies within the space, at no end of it."
    finding = f"the best may lie beyond an end: {', '.join(ends)}"
    return "warn", f"{finding}.", f"caviar zoom {evidence.name}"


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
    finding = f"the best likely lies in {found.volume_in_words} of the space"
    if found.volume > SMALL:
        return "pass", f"{finding}."
    narrower = [line for line in found.lines if line.kind == "narrowed"]
    lines = ", ".join(map(_narrowed, sorted(narrower, key=lambda line: line.share)))
    return "warn", f"{finding}{f': {lines}' if lines else ''}.", f"caviar zoom {evidence.name}"


def _narrowed(line: Line) -> str:
    if isinstance(line.now, Choice):
        return f"{line.name} {' or '.join(map(str, line.now.options))}"
    assert isinstance(line.now, Interval | Range)
    return f"{line.name} {short(end_of(line.now, True))} to {short(end_of(line.now, False))}"


@named("hyperparameters that matter")
def matters(evidence: Evidence) -> Found:
    """Warn where zoom fixes a hyperparameter, as it does not move the score where the best lies, and by
    the importance that the report shows it does not part the best trials from the others either. It is to
    be fixed where the scores are likely best, not at the value that the winner happened to have.
    """
    # Under a choice that others depend on there are other spaces: it is never idle.
    parents = {name for allowed in evidence.space.conditions.values() for name in allowed}
    hyperparameters = [h for h in evidence.space.hyperparameters if h.name not in parents]
    if len(hyperparameters) < 2:
        finding = f"{len(hyperparameters)} of the hyperparameters can be told from others"
        return "unknown", f"{finding}; it takes 2."
    found = zoomed(evidence)
    if isinstance(found, str):
        return "unknown", f"{found}."
    fixed = {line.name: line.value for line in found.lines if line.now is None}
    chance = {h.name: importance(evidence, h).p for h in hyperparameters if h.name in fixed}
    idle = {name: p for name, p in chance.items() if p > IDLE}
    if not idle:
        finding = "each of them moves the score where the best lies, or has moved it elsewhere"
        return "pass", f"{finding}."
    names = ", ".join(f"{name.lstrip('+')} (p = {short(p)})" for name, p in idle.items())
    finding = f"these tell the best trials from the others no better than chance: {names}"
    command = evidence.rerun(*(as_override(name, fixed[name]) for name in idle))
    return "warn", f"{finding}. Fix them.", command
