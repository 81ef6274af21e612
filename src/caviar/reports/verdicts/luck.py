"""Can the top trials be told apart, or is their order luck?"""

from caviar.reports.noise import noise_of
from caviar.reports.verdicts.base import Evidence, Found, named, short


@named("top trials alike")
def alike(evidence: Evidence) -> Found:
    """Can the top trials be told apart, or is their order luck?

    Warn where others are within two standard deviations of a difference of the best trial.
    """
    found = noise_of(evidence)
    if len(evidence.complete) < 3:
        return "unknown", f"{len(evidence.complete)} trials are complete; it takes 3."
    if found is None:
        text = "the noise of retraining is not known: no seeds repeated, no curves of 8 epochs."
        return "unknown", text, f"caviar confirm {evidence.name}"
    margin = 2 * 2**0.5 * found.sd
    losses = evidence.complete["loss"]
    count = int((losses.iloc[1:] - losses.iloc[0] <= margin).sum())
    told = f"{short(margin)} of the best (twice the noise of a difference, by {found.source})"
    if not count:
        return "pass", f"no other trial is within {told}."
    return (
        "warn",
        f"{count} other trial{'s are' if count > 1 else ' is'} within {told}: "
        "their order may be luck.",
        f"caviar confirm {evidence.name}",
    )
