"""Is there a hyperparameter that does not matter? Fixing it leaves more trials for the others."""

from caviar.reports.importance import IDLE, importance
from caviar.reports.model import zoomed
from caviar.reports.verdicts.base import Evidence, Found, named, short
from caviar.space.grammar import as_override


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
        told = f"{len(hyperparameters)} of the hyperparameters can be told from others"
        return "unknown", f"{told}; it takes 2."
    found = zoomed(evidence)
    if isinstance(found, str):
        return "unknown", f"{found}."
    fixed = {line.name: line.value for line in found.lines if line.now is None}
    chance = {h.name: importance(evidence, h).p for h in hyperparameters if h.name in fixed}
    idle = {name: p for name, p in chance.items() if p > IDLE}
    if not idle:
        return (
            "pass",
            "each of them moves the score where the best lies, or has moved it elsewhere.",
        )
    told = ", ".join(f"{name.lstrip('+')} (p = {short(p)})" for name, p in idle.items())
    return (
        "warn",
        f"these tell the best trials from the others no better than chance: {told}. Fix them.",
        evidence.rerun(*(as_override(name, fixed[name]) for name in idle)),
    )
