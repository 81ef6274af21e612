"""What is luck among the top trials: their order, their score, their lead on the config as it stands."""

from caviar.reports.evidence import Evidence
from caviar.reports.model import worth
from caviar.reports.noise import noise_of
from caviar.reports.verdicts.base import Found, named, short


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
    finding = f"{short(margin)} of the best (twice the noise of a difference, by {found.source})"
    if not count:
        return "pass", f"no other trial is within {finding}."
    others = f"{count} other trial{'s are' if count > 1 else ' is'}"
    told = f"{others} within {finding}: their order may be luck."
    return "warn", told, f"caviar confirm {evidence.name}"


@named("better than the default")
def better(evidence: Evidence) -> Found:
    """Is the best better than the config as it stands? Else nothing was gained that could be seen.

    Warn where what the best is worth is not above what the baseline is, by both intervals (a difference of
    two normal estimates, at 95 % one-sided), or where the baseline itself is the best.
    """
    number, table = evidence.default, evidence.complete
    if number is None:
        finding = "no trial is the config as it stands"
        return "unknown", f"{finding}: hydra.sweeper.baseline=true makes it the first."
    score = float(evidence.trials["value"][number])
    finding = f"the default (trial {number}) scored {short(score)}"
    confirm = f"caviar confirm {evidence.name}"
    others = table[table.index != number]
    if not len(others) or others["loss"].iloc[0] >= evidence.sign * score:
        return "warn", f"{finding}, and none of {len(others)} trials is better.", confirm
    best = int(others.index[0])
    finding += f", the best (trial {best}) {short(table['value'][best])}"
    found = worth(evidence)
    if best not in found or number not in found:
        return "unknown", f"{finding}; how much of that is luck is not known.", confirm
    mine, other = found[best], found[number]
    lead = evidence.sign * (other.mean - mine.mean)
    apart = lead > ((mine.high - mine.low) ** 2 + (other.high - other.low) ** 2) ** 0.5 / 2
    finding += f"; on a fresh seed they are worth {other} and {mine} (90 % intervals)"
    if apart:
        return "pass", f"{finding}."
    return "warn", f"{finding}: the best is not seen to be better than the default.", confirm


@named("the best score is luck")
def promised(evidence: Evidence) -> Found:
    """Will the best score be had again? Warn where it lies outside of what the trial is worth."""
    found = worth(evidence)
    if not found:
        finding = "what the best is worth on a fresh seed is not known"
        return "unknown", f"{finding}: too few trials are alike."
    number, one = next(iter(found.items()))
    score = float(evidence.complete["value"][number])
    finding = (
        f"trial {number} scored {short(score)} and is worth {one} on a fresh seed (90 % interval)"
    )
    if one.low <= score <= one.high:
        return "pass", f"{finding}."
    return "warn", f"{finding}: expect that, not the score.", f"caviar confirm {evidence.name}"
