"""Was the length of training searched? Longer nearly always wins, so it tells nothing."""

from caviar.reports.verdicts.base import Evidence, Verdict

NAME = "steps searched"
LENGTHS = ("max_epochs", "max_steps", "epochs", "num_epochs", "n_epochs", "num_steps")


def steps(evidence: Evidence) -> Verdict:
    """Warn where it is: fix it, and let the best epoch tell where to stop."""
    hyperparameters = evidence.space.hyperparameters
    if not hyperparameters:
        return Verdict(NAME, "unknown", "no hyperparameter is on record.")
    h = next((h for h in hyperparameters if h.name.rpartition(".")[2] in LENGTHS), None)
    if h is None:
        return Verdict(NAME, "pass", "the length of training is not searched.")
    most = max(h.from_study(value) for value in h.spread(1000))
    name = h.name.lstrip("+")
    told = f"{name} is searched: fix it at {most}, and stop at the best epoch"
    return Verdict(NAME, "warn", f"{told}.", evidence.rerun(f"{name}={most}"))
