"""Was the best epoch among the last? Then training was cut short."""

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.reports.verdicts.length import best_epochs, max_epochs

NAME = "training too short"


def longer(evidence: Evidence) -> Verdict:
    """Warn where most of the top trials have their best epoch in the last quarter."""
    found = best_epochs(evidence)
    if len(found) < 3:
        return Verdict(
            NAME, "unknown", "fewer than 3 top trials of 4 epochs or more tell their best epoch."
        )
    late = sum(place > 0.75 for place in found)
    told = f"{late} of the {len(found)} best trials had their best epoch in the last quarter"
    if late * 2 <= len(found):
        return Verdict(NAME, "pass", f"{told}.")
    epochs = max_epochs(evidence)
    key = evidence.rerun(f"trainer.max_epochs={2 * epochs}") if epochs else None
    return Verdict(NAME, "warn", f"{told}: train longer.", key)
