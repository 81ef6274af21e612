"""Is there a hyperparameter that does not matter? Fixing it leaves more trials for the others."""

from typing import Any

import numpy as np

from caviar.reports.verdicts.base import Evidence, Verdict
from caviar.space.grammar import as_override
from caviar.space.hyperparameters import Choice, Hyperparameter

NAME = "hyperparameters that matter"
EACH = 10
FEWEST = 30
SHUFFLES = 200
CHANCE = 0.05
BINS = 5


def matters(evidence: Evidence) -> Verdict:
    """Warn where shuffled scores explain as much by a hyperparameter, and another one does matter.

    The share explained is the variance of the ranks between 5 equal-count bins over all their variance
    (a first-order effect, as the main effect of a functional ANOVA; an interaction is not seen).
    """
    table = evidence.complete
    hyperparameters = [
        h
        for h in evidence.space.hyperparameters
        if evidence.column(h) in table and table[evidence.column(h)].notna().all()
    ]
    if len(table) < max(FEWEST, EACH * len(hyperparameters)) or len(hyperparameters) < 2:
        need = max(FEWEST, EACH * len(hyperparameters))
        return Verdict(NAME, "unknown", f"{len(table)} complete trials; {need} are needed to tell.")
    ranks = table["loss"].rank().to_numpy(float)
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(ranks) for _ in range(SHUFFLES)]
    idle, told, found = [], [], False
    for h in hyperparameters:
        bins = _bins(evidence, h)
        share = explained(ranks, bins)
        chance = [explained(other, bins) for other in shuffled]
        if share > np.quantile(chance, 1 - CHANCE / len(hyperparameters)):
            found = True
        elif share <= np.quantile(chance, 0.9):
            idle.append(h)
            told.append(
                f"{h.name} ({share:.0%}, and chance alone gives up to {np.quantile(chance, 0.95):.0%})"
            )
    if not found:
        return Verdict(
            NAME, "unknown", "none stands out from chance: more trials are needed to tell."
        )
    if not idle:
        return Verdict(NAME, "pass", "none of them explains as little as chance would.")
    best = table.iloc[0]
    overrides = [as_override(h.name.lstrip("+"), _plain(best[evidence.column(h)])) for h in idle]
    return Verdict(
        NAME,
        "warn",
        f"alone these explain no more of the ranks than chance: {', '.join(told)}. Fix them.",
        evidence.rerun(*overrides),
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def explained(ranks: np.ndarray, bins: np.ndarray) -> float:
    """Share of the variance of ``ranks`` that lies between ``bins``."""
    counts = np.bincount(bins)
    kept = counts > 0
    means = np.bincount(bins, ranks)[kept] / counts[kept]
    return float(
        (counts[kept] * (means - ranks.mean()) ** 2).sum() / max(ranks.var() * len(ranks), 1e-12)
    )


def _bins(evidence: Evidence, h: Hyperparameter) -> np.ndarray:
    column = evidence.complete[evidence.column(h)]
    if isinstance(h, Choice):
        return np.unique(column.astype(str), return_inverse=True)[1]
    places = evidence.positions(h).to_numpy()
    edges = np.unique(np.quantile(places, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, places, side="right")
