"""Was the test set looked at while searching? Then it is a second validation set."""

from caviar.reports.verdicts.base import Evidence, Verdict

NAME = "test set unseen"


def tested(evidence: Evidence) -> Verdict:
    """Warn where any trial evaluated the test part."""
    if "tested" not in evidence.trials or evidence.trials.empty:
        return Verdict(NAME, "unknown", "no trial tells whether it looked at the test set.")
    count = int(evidence.trials["tested"].sum())
    if not count:
        return Verdict(NAME, "pass", "no trial recorded a look at the test set.")
    told = f"{count} of {len(evidence.trials)} trials looked at the test set during the search"
    command = evidence.rerun("test=false") if evidence.has("test") else None
    return Verdict(NAME, "warn", f"{told}: a test score chosen by is no test score.", command)
