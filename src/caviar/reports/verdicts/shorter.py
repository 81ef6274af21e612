"""Was the best epoch among the first? Then most of the training was wasted."""

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.reports.verdicts.length import best_epochs, max_epochs

NAME = "training too long"


def shorter(evidence: Evidence) -> Verdict:
    """Warn where most of the top trials have their best epoch in the first tenth."""
    found = best_epochs(evidence)
    if len(found) < 3:
        return Verdict(
            NAME, "unknown", "fewer than 3 top trials of 4 epochs or more tell their best epoch."
        )
    early = sum(place <= 0.1 for place in found)
    told = f"{early} of the {len(found)} best trials had their best epoch in the first tenth"
    if early * 2 <= len(found):
        return Verdict(NAME, "pass", f"{told}.")
    epochs = max_epochs(evidence)
    key = evidence.rerun(f"trainer.max_epochs={max(1, epochs // 4)}") if epochs else None
    return Verdict(NAME, "warn", f"{told}: train shorter, or decay the learning rate.", key)
