"""Where in its training each of the top trials was best."""

from caviar.reports.verdicts.base import Evidence


def best_epochs(evidence: Evidence) -> list[float]:
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


def max_epochs(evidence: Evidence) -> int | None:
    """``trainer.max_epochs`` of the best trial, where its config has that."""
    found = evidence.config["trainer"]["max_epochs"] if evidence.has("trainer.max_epochs") else None
    return found if isinstance(found, int) and found > 0 else None
