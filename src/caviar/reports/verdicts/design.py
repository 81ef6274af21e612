"""What was searched, and with what: is it a search that can tell anything?"""

import re
from math import prod

from caviar.reports.evidence import Evidence
from caviar.reports.model import zoomed
from caviar.reports.verdicts.base import Found, named
from caviar.space.grammar import as_override
from caviar.space.hyperparameters import Interval
from caviar.zoom.next_space import Zoom

LENGTHS = ("max_epochs", "max_steps", "epochs", "num_epochs", "n_epochs", "num_steps")
EACH = 10


@named("test set unseen")
def tested(evidence: Evidence) -> Found:
    """Was the test set looked at while searching? Then it is a second validation set.

    Warn where any trial evaluated the test part.
    """
    if "tested" not in evidence.trials or evidence.trials.empty:
        return "unknown", "no trial tells whether it looked at the test set."
    count = int(evidence.trials["tested"].sum())
    if not count:
        return "pass", "no trial recorded a look at the test set."
    finding = f"{count} of {len(evidence.trials)} trials looked at the test set during the search"
    command = evidence.rerun("test=false") if evidence.has("test") else None
    return "warn", f"{finding}: a test score chosen by is no test score.", command


@named("steps searched")
def steps(evidence: Evidence) -> Found:
    """Was the length of training searched? Longer nearly always wins, so it tells nothing.

    Warn where it is: fix it, and let the best epoch tell where to stop.
    """
    hyperparameters = evidence.space.hyperparameters
    if not hyperparameters:
        return "unknown", "no hyperparameter is on record."
    h = next((h for h in hyperparameters if h.name.rpartition(".")[2] in LENGTHS), None)
    if h is None:
        return "pass", "the length of training is not searched."
    most = max(h.from_study(value) for value in h.spread(1000))
    name = h.name.lstrip("+")
    finding = f"{name} is searched: fix it at {most}, and stop at the best epoch"
    return "warn", f"{finding}.", evidence.rerun(f"{name}={most}")


@named("batch size tuned")
def batch_size(evidence: Evidence) -> Found:
    """Was the batch size tuned for the validation score? It is a matter of speed, not of quality.

    Warn where it is searched: each size has its own best learning rate and regularisation.
    """
    names = [h.name.lstrip("+") for h in evidence.space.hyperparameters]
    if not names:
        return "unknown", "no hyperparameter is on record."
    found = next(
        (n for n in names if n.rpartition(".")[2] in ("batch_size", "train_batch_size")), None
    )
    if found is None:
        return "pass", "the batch size is not searched."
    if not evidence.metric:
        return "unknown", f"{found} is searched, for a score that has no name."
    if re.search("second|time|throughput|latency", evidence.metric):
        return "pass", f"{found} is searched for {evidence.metric}, a matter of speed."
    model = zoomed(evidence)
    likely = model.likely if isinstance(model, Zoom) else {}
    value = likely.get(found, evidence.config_value(found))
    command = evidence.rerun(as_override(found, value)) if value is not None else None
    finding = "fix it at what fills the device, and search learning rate and regularisation there"
    return "warn", f"{found} is searched for {evidence.metric}: {finding}.", command


@named("enough trials")
def budget(evidence: Evidence) -> Found:
    """Were there trials enough for so many hyperparameters?

    Warn below 10 trials a hyperparameter, unless every point of the space was tried.

    One that was pruned was a draw as well: it is known to be none of the best.
    """
    count, hyperparameters = len(evidence.complete), evidence.space.hyperparameters
    if not count or not hyperparameters:
        return "unknown", "no trial is complete." if not count else "no space to read."
    wanted = EACH * len(hyperparameters)
    counts = (wanted if isinstance(h, Interval) else len(h.spread(wanted)) for h in hyperparameters)
    wanted = min(wanted, prod(counts))
    pruned = int((evidence.trials["state"] == "PRUNED").sum())
    draws = count + pruned
    finding = (
        f"{count} complete {f'and {pruned} pruned ' if pruned else ''}trials for "
        f"{len(hyperparameters)} hyperparameters; with {draws} random draws the best is among the "
        f"top 5 % of the space with a chance of {1 - 0.95**draws:.0%}"
    )
    if draws >= wanted:
        return "pass", f"{finding}."
    ask = len(evidence.trials) - draws + wanted
    command = f"caviar resume {evidence.name} n_trials={ask}"
    return "warn", f"{finding}: {wanted} are wanted.", command
