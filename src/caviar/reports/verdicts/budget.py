"""Were there trials enough for so many hyperparameters?"""

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.space.hyperparameters import Interval

NAME = "enough trials"
EACH = 10


def budget(evidence: Evidence) -> Verdict:
    """Warn below 10 trials a hyperparameter, unless every point of the space was tried.

    One that was pruned was a draw as well: it is known to be none of the best.
    """
    count, hyperparameters = len(evidence.complete), evidence.space.hyperparameters
    if not count or not hyperparameters:
        return Verdict(
            NAME, "unknown", "no trial is complete." if not count else "no space to read."
        )
    wanted = EACH * len(hyperparameters)
    points = 1
    for h in hyperparameters:
        points *= len(h.spread(wanted)) if not isinstance(h, Interval) else wanted
    wanted = min(wanted, points)
    pruned = int((evidence.trials["state"] == "PRUNED").sum())
    draws = count + pruned
    told = (
        f"{count} complete {f'and {pruned} pruned ' if pruned else ''}trials for "
        f"{len(hyperparameters)} hyperparameters; with {draws} random draws the best is among the "
        f"top 5 % of the space with a chance of {1 - 0.95**draws:.0%}"
    )
    if draws >= wanted:
        return Verdict(NAME, "pass", f"{told}.")
    ask = len(evidence.trials) - draws + wanted
    command = f"caviar resume {evidence.name} n_trials={ask}"
    return Verdict(NAME, "warn", f"{told}: {wanted} are wanted.", command)
