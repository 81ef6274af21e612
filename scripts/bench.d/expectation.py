"""Whether what a sweep expects of its next step comes true, on made-up sweeps whose truth is known."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caviar.reports.evidence import Evidence
from caviar.reports.model import gains, space_of, zoomed
from caviar.reports.verdicts.following import SEEN
from caviar.space.hyperparameters import Interval
from caviar.space.space import Space
from caviar.zoom.gain import PICKED, SEEDS

OUT = Path(__file__).resolve().parents[2] / "outputs" / "bench"
EPOCHS = 15
FUTURES = 20
"""Times that each way is gone, for the true gain."""


@dataclass
class Gone:
    """A way after one made-up sweep: its gain as expected and as it was, in standard deviations."""

    sweep: int
    flat: bool
    way: str
    expected: float
    true: float

    @property
    def goes(self) -> bool:
        """Whether the gain is expected to be seen."""
        return self.expected > SEEN


def main() -> None:
    """Make up sweeps, and print how expected and true gains go together."""
    parser = argparse.ArgumentParser(prog="scripts/bench expectation", description=__doc__)
    parser.add_argument("--sweeps", type=int, default=200, help="some seconds each")
    parser.add_argument("--json", action="store_true", help="every way of every sweep, as JSON")
    options = parser.parse_args()
    found = [one for seed in range(options.sweeps) for one in made_up(seed)]
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(one) for one in found], indent=1)
    (OUT / "expectation.json").write_text(f"{text}\n")
    if options.json:
        print(text)
        return
    print(f"| way | expected gain, sd | sweeps | true gain, sd: mean | seen (above {SEEN:.2g}) |")
    print("|---|---|---|---|---|")
    for way in ("more", "zoom"):
        for low, high in ((-9.0, 0.2), (0.2, 0.45), (0.45, SEEN), (SEEN, 1.5), (1.5, 99.0)):
            true = [one.true for one in found if one.way == way and low < one.expected <= high]
            if true:
                seen = np.mean(np.array(true) > SEEN)
                print(
                    f"| {way} | {low:.2g} to {high:.2g} | {len(true)} | {np.mean(true):+.2f} | {seen:.0%} |"
                )
    for flat in (True, False):
        by_sweep: dict[int, list[Gone]] = {}
        for one in found:
            if one.flat == flat:
                by_sweep.setdefault(one.sweep, []).append(one)
        stops = sum(not any(one.goes for one in ways) for ways in by_sweep.values())
        kind = "nothing to find" if flat else "something to find"
        print(f"\n{kind}: {stops} of {len(by_sweep)} sweeps say stop")


def made_up(seed: int) -> list[Gone]:
    """A sweep over a bowl, its centre maybe beyond an end, or over nothing at all; and what follows it."""
    rng = np.random.default_rng([2027, seed])
    d, n = int(rng.integers(2, 6)), int(rng.choice([64, 128, 256]))
    space = Space(tuple(Interval(name, 0.0, 1.0) for name in "abcde"[:d]))
    weight, centre = rng.dirichlet(np.full(d, 0.7)) * d, rng.uniform(-0.1, 1.1, d)
    sd, flat = 10 ** rng.uniform(-2, -0.3), bool(rng.random() < 0.3)

    def loss(places: np.ndarray) -> np.ndarray:
        height = 1 - np.exp(-((places - centre) ** 2 * weight).sum(1))
        return height * (0.0 if flat else 1.0)

    places = rng.random((n, d))
    scores = loss(places) + sd * rng.standard_normal(n)
    evidence = evidence_of(space, places, scores, sd, rng)

    def confirmed(places: np.ndarray, scores: np.ndarray) -> float:
        """What a confirm of the best picks, in truth."""
        top = loss(places[np.argsort(scores)[:PICKED]])
        return top[(top + sd / SEEDS**0.5 * rng.standard_normal(len(top))).argmin()]

    found = gains(evidence)
    if found is None:
        return []
    now = np.mean([confirmed(places, scores) for _ in range(FUTURES)])
    told = []
    for way, gain in found.of.items():
        true = []
        for _ in range(FUTURES):
            new = draws(evidence, way, n, rng)
            again = np.append(scores, loss(new) + sd * rng.standard_normal(n))
            true.append(now - confirmed(np.vstack([places, new]), again))
        told.append(Gone(seed, flat, way, gain / found.noise, float(np.mean(true)) / sd))
    return told


def draws(evidence: Evidence, way: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """The places of ``n`` new trials."""
    found: Any = zoomed(evidence)
    names = [h.name for h in evidence.space.hyperparameters]
    space = space_of(found) if way == "zoom" else evidence.space
    fixed = (
        {line.name: line.value for line in found.lines if line.now is None} if way == "zoom" else {}
    )
    drawn = [{**fixed, **space.draw(lambda h: h.from_unit(rng.random()))} for _ in range(n)]
    return np.array([[values[name] for name in names] for values in drawn])


def evidence_of(
    space: Space, places: np.ndarray, scores: np.ndarray, sd: float, rng: np.random.Generator
) -> Evidence:
    """The tables of a sweep whose curves jump about by ``sd`` late in training."""
    trials = pd.DataFrame(places, columns=[h.name for h in space.hyperparameters])
    trials = trials.assign(
        value=scores, state="COMPLETE", error=None, seed=0, best_epoch=EPOCHS - 1
    )
    epochs = np.arange(EPOCHS)
    curves = scores[:, None] + np.exp(-epochs / 2) + sd * rng.standard_normal((len(scores), EPOCHS))
    logged = pd.DataFrame(
        {
            "trial": np.repeat(trials.index, EPOCHS),
            "epoch": np.tile(epochs, len(scores)),
            "loss": curves.ravel(),
        }
    )
    return Evidence("made_up", {}, space, ["minimize"], "loss", trials, logged)


if __name__ == "__main__":
    main()
