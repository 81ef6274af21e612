"""Is there a hyperparameter that does not matter? Fixing it leaves more trials for the others."""

from caviar.reports.importance import importance
from caviar.reports.verdicts.base import Evidence, Found, is_there, named, short
from caviar.space.grammar import as_override
from caviar.space.hyperparameters import Choice, Hyperparameter
from caviar.zoom.coordinates import Coordinates
from caviar.zoom.likely_best import likely_best
from caviar.zoom.next_space import Tried

EACH = 10
FEWEST = 30
CHANCE = 0.05
"""Of all hyperparameters together."""
IDLE = 0.1
"""Above it the figure of importance is grey too."""


@named("hyperparameters that matter")
def matters(evidence: Evidence) -> Found:
    """Warn where a hyperparameter parts the best trials from the others no better than chance, by the
    importance that the report shows, and another one does matter. It is to be fixed where the model of the
    sweep expects the best score, not at the value that the winner happened to have.
    """
    table = evidence.complete
    # Under a choice that others depend on there are other spaces: it is never idle.
    parents = {name for allowed in evidence.space.conditions.values() for name in allowed}
    hyperparameters = [
        h for h in evidence.space.hyperparameters if h.name not in parents and _in_all(evidence, h)
    ]
    if len(hyperparameters) < 2:
        told = f"{len(hyperparameters)} of the hyperparameters can be told from others"
        return "unknown", f"{told}; it takes 2 that each trial has."
    need = max(FEWEST, EACH * len(hyperparameters))
    if len(table) < need:
        return "unknown", f"{len(table)} complete trials; {need} are needed to tell."
    found = {h.name: importance(evidence, h) for h in hyperparameters}
    idle = [h for h in hyperparameters if found[h.name].p > IDLE]
    if not any(one.p <= CHANCE / len(hyperparameters) for one in found.values()):
        return "unknown", "none stands out from chance: more trials are needed to tell."
    if not idle:
        return (
            "pass",
            "none of them tells the best trials from the others as badly as chance would.",
        )
    told = ", ".join(f"{h.name.lstrip('+')} (p = {short(found[h.name].p)})" for h in idle)
    value = likely_best(evidence.space, _tried(evidence))
    overrides = [as_override(h.name, value[h.name]) for h in idle]
    return (
        "warn",
        f"these tell the best trials from the others no better than chance: {told}. Fix them.",
        evidence.rerun(*overrides),
    )


def _tried(evidence: Evidence) -> list[Tried]:
    """The complete trials, with their values as the run saw them."""
    columns = {h.name: evidence.column(h) for h in evidence.space.hyperparameters}
    rows = evidence.complete.to_dict("records")
    found = [{name: row[c] for name, c in columns.items() if is_there(row.get(c))} for row in rows]
    coordinates = Coordinates(evidence.space)
    return [
        Tried(values, row["loss"])
        for values, row in zip(found, rows, strict=True)
        if coordinates.can_place(values)
    ]


def _in_all(evidence: Evidence, h: Hyperparameter) -> bool:
    if isinstance(h, Choice):
        column = evidence.column(h)
        return column in evidence.complete and bool(evidence.complete[column].notna().all())
    return len(evidence.positions(h)) == len(evidence.complete)
