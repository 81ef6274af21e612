"""Was training too short, or much longer than it needed to be? Where the top trials were best tells."""

from collections.abc import Callable

from caviar.reports.verdicts.base import Evidence, Verdict


def longer(evidence: Evidence) -> Verdict:
    """Warn where most of the top trials have their best epoch in the last quarter."""
    return _judged(
        evidence, "training too short", "last quarter", lambda place: place > 0.75,
        "train longer", lambda epochs: 2 * epochs,
    )  # fmt: skip


def shorter(evidence: Evidence) -> Verdict:
    """Warn where most of the top trials have their best epoch in the first tenth: the rest was wasted."""
    return _judged(
        evidence, "training too long", "first tenth", lambda place: place <= 0.1,
        "train shorter, or decay the learning rate", lambda epochs: max(1, epochs // 4),
    )  # fmt: skip


def _judged(
    evidence: Evidence,
    name: str,
    part: str,
    within: Callable[[float], bool],
    advice: str,
    instead: Callable[[int], int],
) -> Verdict:
    """Warn where more than half of the best epochs lie within a part of the training."""
    found = _best_epochs(evidence)
    if len(found) < 3:
        told = "fewer than 3 top trials of 4 epochs or more tell their best epoch."
        return Verdict(name, "unknown", told)
    count = sum(map(within, found))
    told = f"{count} of the {len(found)} best trials had their best epoch in the {part}"
    if count * 2 <= len(found):
        return Verdict(name, "pass", f"{told}.")
    epochs = _max_epochs(evidence)
    key = evidence.rerun(f"trainer.max_epochs={instead(epochs)}") if epochs else None
    return Verdict(name, "warn", f"{told}: {advice}.", key)


def _best_epochs(evidence: Evidence) -> list[float]:
    """Best epoch as a share of the training, in (0, 1], of top trials that trained 4 epochs or more."""
    if evidence.metrics.empty:
        return []
    last = evidence.metrics.groupby("trial")["epoch"].max()
    table = evidence.top["best_epoch"].dropna()
    return [
        (int(epoch) + 1) / (int(last[n]) + 1)
        for n, epoch in table.items()
        if n in last.index and last[n] >= 3
    ]


def _max_epochs(evidence: Evidence) -> int | None:
    """``trainer.max_epochs`` of the best trial, where its config has that."""
    found = evidence.config["trainer"]["max_epochs"] if evidence.has("trainer.max_epochs") else None
    return found if isinstance(found, int) and found > 0 else None
