"""Was the batch size tuned for the validation score? It is a matter of speed, not of quality."""

import re

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.space.grammar import as_override

NAME = "batch size tuned"


def batch_size(evidence: Evidence) -> Verdict:
    """Warn where it is searched: each size has its own best learning rate and regularisation."""
    names = [h.name.lstrip("+") for h in evidence.space.hyperparameters]
    if not names:
        return Verdict(NAME, "unknown", "no hyperparameter is on record.")
    found = next(
        (n for n in names if n.rpartition(".")[2] in ("batch_size", "train_batch_size")), None
    )
    if found is None:
        return Verdict(NAME, "pass", "the batch size is not searched.")
    if not evidence.metric:
        return Verdict(NAME, "unknown", f"{found} is searched, for a score that has no name.")
    if re.search("second|time|throughput|latency", evidence.metric):
        return Verdict(
            NAME, "pass", f"{found} is searched for {evidence.metric}, a matter of speed."
        )
    value = evidence.config_value(found)
    command = evidence.rerun(as_override(found, value)) if value is not None else None
    told = "fix it at what fills the device, and search learning rate and regularisation there"
    return Verdict(NAME, "warn", f"{found} is searched for {evidence.metric}: {told}.", command)
