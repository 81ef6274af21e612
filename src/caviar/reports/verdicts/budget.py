"""Were there trials enough for so many hyperparameters?"""

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.space.hyperparameters import Interval

NAME = "enough trials"
EACH = 10


def budget(evidence: Evidence) -> Verdict:
    """Warn below 10 complete trials a hyperparameter, unless every point of the space was tried."""
    count, hyperparameters = len(evidence.complete), evidence.space.hyperparameters
    if not count or not hyperparameters:
        return Verdict(
            NAME, "unknown", "no trial is complete." if not count else "no space to read."
        )
    wanted = EACH * len(hyperparameters)
    points = 1
    for h in hyperparameters:
        points *= len(h.spread(wanted)) if not isinstance(h, Interval) else wanted
    told = (
        f"{count} complete trials for {len(hyperparameters)} hyperparameters; with {count} random draws "
        f"the best is among the top 5 % of the space with a chance of {1 - 0.95**count:.0%}"
    )
    if count >= min(wanted, points):
        return Verdict(NAME, "pass", f"{told}.")
    ask = len(evidence.trials) - count + wanted
    command = f"caviar resume {evidence.name} n_trials={ask}"
    return Verdict(NAME, "warn", f"{told}: the space can bear {wanted}.", command)
