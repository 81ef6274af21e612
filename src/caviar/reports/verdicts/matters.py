"""Is there a hyperparameter that does not matter? Fixing it leaves more trials for the others."""

from typing import Any

import numpy as np

from caviar.reports.verdicts.base import Evidence, Found, named
from caviar.space.grammar import as_override
from caviar.space.hyperparameters import Choice, Hyperparameter

EACH = 10
FEWEST = 30
SHUFFLES = 200
CHANCE = 0.05
BINS = 5


@named("hyperparameters that matter")
def matters(evidence: Evidence) -> Found:
    """Warn where shuffled scores explain as much by a hyperparameter, and another one does matter.

    The share explained is the variance of the ranks between 5 equal-count bins over all their variance
    (a first-order effect, as the main effect of a functional ANOVA; an interaction is not seen).
    """
    table = evidence.complete
    # Under a choice that others depend on there are other spaces: it is never idle.
    parents = {name for allowed in evidence.space.conditions.values() for name in allowed}
    hyperparameters = [
        h for h in evidence.space.hyperparameters if h.name not in parents and _in_all(evidence, h)
    ]
    if len(hyperparameters) < 2:
        told = f"{len(hyperparameters)} of the hyperparameters can be told from others"
        return "unknown", f"{told}; it takes 2 that each trial has."
    need = max(FEWEST, EACH * len(hyperparameters))
    if len(table) < need:
        return "unknown", f"{len(table)} complete trials; {need} are needed to tell."
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
            name, most = h.name.lstrip("+"), np.quantile(chance, 0.95)
            told.append(f"{name} ({share:.0%}, and chance alone gives up to {most:.0%})")
    if not found:
        return "unknown", "none stands out from chance: more trials are needed to tell."
    if not idle:
        return "pass", "none of them explains as little as chance would."
    best = table.iloc[0]
    overrides = [as_override(h.name, _plain(best[evidence.column(h)])) for h in idle]
    return (
        "warn",
        f"alone these explain no more of the ranks than chance: {', '.join(told)}. Fix them.",
        evidence.rerun(*overrides),
    )


def _in_all(evidence: Evidence, h: Hyperparameter) -> bool:
    if isinstance(h, Choice):
        column = evidence.column(h)
        return column in evidence.complete and bool(evidence.complete[column].notna().all())
    return len(evidence.positions(h)) == len(evidence.complete)


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
