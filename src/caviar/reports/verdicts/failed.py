"""How many trials failed for another reason than divergence, and which error was it?"""

import re

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.reports.verdicts.diverged import diverging
from caviar.runs.folder import was_stopped

NAME = "failed trials"
SHARE = 0.05
SHOWN = 3


def failed(evidence: Evidence) -> Verdict:
    """Warn above 5 %, with the errors by how often they occur; stopped trials are not counted."""
    ended = evidence.trials[evidence.trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    errors = ended.loc[ended["state"] == "FAIL", "error"]
    errors = errors.where(errors.map(lambda e: isinstance(e, str)), "no error recorded")
    stopped = errors.map(was_stopped)
    errors, count = errors[~stopped & ~errors.map(diverging)], len(ended) - int(stopped.sum())
    if not count:
        return Verdict(NAME, "unknown", "0 trials have ended of themselves.")
    told = f"{len(errors)} of {count} trials ({len(errors) / count:.0%}) failed (diverged ones not counted)"
    if len(errors) <= SHARE * count:
        return Verdict(NAME, "pass", f"{told}.")
    groups: dict[str, list[int]] = {}
    for number, error in errors.items():
        # Errors that differ in a number alone are one.
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "N", error), []).append(int(str(number)))
    ordered = sorted(groups.values(), key=lambda numbers: -len(numbers))
    lines = [f"{len(numbers)} x {_cut(errors[numbers[0]])}" for numbers in ordered[:SHOWN]]
    more = f"; and {len(ordered) - SHOWN} other errors" if len(ordered) > SHOWN else ""
    return Verdict(
        NAME,
        "warn",
        f"{told}: {'; '.join(lines)}{more}.",
        f"caviar logs {evidence.name}/{ordered[0][0]}",
    )


def _cut(error: str, length: int = 160) -> str:
    return error if len(error) <= length else f"{error[:length]}…"
