"""Whether the 90 % interval of what the best trial is worth holds its mean over fresh seeds."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caviar.base.errors import UsageError
from caviar.confirm.results import confirmed
from caviar.reading.sweep import Sweep
from caviar.reports.evidence import Evidence
from caviar.reports.expected import SEEDS, expected
from caviar.reports.model import worth
from caviar.reports.noise import late_noise
from caviar.zoom.good import fit_good

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "outputs" / "bench" / "calibration"
TABLES = ("wine", "breast_cancer")


@dataclass
class Covered:
    """One sweep: its best trial's score, what it was said to be worth, and its mean over fresh seeds."""

    task: str
    trials: int
    score: float
    mean: float
    low: float
    high: float
    confirmed: float
    spread: float

    @property
    def side(self) -> int:
        """0 where the interval holds the mean, 1 where it lies above it (too hopeful), else -1."""
        return int(self.low > self.confirmed) - int(self.high < self.confirmed)


def main() -> None:
    """Run what is asked for, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench calibration", description=__doc__)
    parser.add_argument("--made-up", type=int, default=200, help="so many made-up sweeps")
    parser.add_argument("--real", type=int, default=30, help="so many real ones: some seconds each")
    parser.add_argument("--first", type=int, default=0, help="the first one's number: its seed")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    print(
        "| sweeps | number | 90 % interval holds the mean | too hopeful | too shy | luck of the score |"
    )
    print("|---|---|---|---|---|---|")
    found: dict[str, list[Covered]] = {}
    for name, sweeps in (
        ("made up", made_up(options.made_up)),
        ("real", real(options.real, options.first)),
    ):
        found[name] = list(sweeps)
        if found[name]:
            print(line(name, found[name]), flush=True)
    text = json.dumps({k: [asdict(one) for one in v] for k, v in found.items()}, indent=1)
    (OUT / "calibration.json").write_text(text + "\n")


def line(name: str, found: list[Covered]) -> str:
    """A row of the table; luck in standard deviations of retraining: of the score, and what is left."""
    sides = np.array([one.side for one in found])
    spread = np.array([max(one.spread, 1e-12) for one in found])
    naive = np.median(np.abs([one.score - one.confirmed for one in found]) / spread)
    left = np.median(np.abs([one.mean - one.confirmed for one in found]) / spread)
    shares = " | ".join(f"{(sides == side).mean():.0%}" for side in (0, 1, -1))
    return f"| {name} | {len(found)} | {shares} | {naive:.2f} sd off; expected: {left:.2f} |"


def made_up(count: int) -> Iterator[Covered]:
    """Valleys and steps with noisy curves; the mean over fresh seeds is known as exactly as is wanted."""
    for seed in range(count):
        rng = np.random.default_rng([2026, seed])
        n, d = int(rng.choice([16, 32, 64, 128, 256])), int(rng.integers(2, 7))
        points = rng.random((n, d))
        weight = rng.dirichlet(np.full(d, 0.7)) * d
        turn = np.eye(d) + rng.normal(0, 0.3, (d, d))
        centre = rng.uniform(-0.1, 1.1, d)
        height = -(((points - centre) @ turn) ** 2 * weight).sum(1)
        edges = rng.random(d)
        height += rng.uniform(0, 0.3) * ((points > edges) * rng.normal(0, 1, d)).sum(1)
        height = (height - height.mean()) / height.std()
        height = -np.exp(-height * rng.uniform(0.2, 1.0))
        height /= height.std()
        epochs, scale = int(rng.integers(10, 41)), 10 ** rng.uniform(-2.3, -1.2)
        late = np.exp(rng.normal(np.log(0.3), 0.5))
        start = late * np.exp(rng.normal(0, 0.45))
        speed = rng.uniform(1, epochs / 3)

        def curves(
            of: Any,
            rng: Any = rng,
            epochs: int = epochs,
            start: float = start,
            late: float = late,
            speed: float = speed,
            scale: float = scale,
        ) -> Any:
            shape = (len(of), epochs)
            grown = 3 * np.exp(-np.arange(epochs) / speed)
            luck = start * rng.standard_normal((len(of), 1)) + late * rng.standard_normal(shape)
            return 0.8 + scale * (of[:, None] - grown + luck)

        logged = curves(height)
        scores = logged.max(1)
        best = int(scores.argmax())
        fresh = curves(np.repeat(height[best], 4000)).max(1)
        top = np.argsort(-scores)[: max(5, n // 10)]
        noise = late_noise([logged[i] for i in top])
        known = None if noise is None else (noise.sd, noise.spread)
        good = fit_good(-scores, points, list(range(d)), known, [best], np.random.default_rng(0))
        assert good is not None
        (one,) = expected(-scores, [best], good, noise, -1.0)
        mean = fresh[:SEEDS].mean()
        yield Covered("made up", n, scores[best], one.mean, one.low, one.high, mean, fresh.std())


def real(count: int, first: int) -> Iterator[Covered]:
    """Small sweeps of digits, wine and breast cancer, each with its best trial confirmed."""
    tables()
    for number in range(first, first + count):
        task = ("digits", *TABLES)[number % 3]
        trials = (24, 48, 96)[number // 3 % 3]
        name = f"{task}-{number}"
        shutil.rmtree(OUT / "sweeps" / name, ignore_errors=True)
        for old in (OUT / "sweeps").glob(f"{name}-confirm*"):
            shutil.rmtree(old)
        data = (
            []
            if task == "digits"
            else ["data=table", f"data.path={OUT}/{task}.csv", "data.target=y"]
        )
        run(
            "-P", "-m", "project.train", "-m", *data, f"name={name}", "engine=fused",
            "trainer.max_epochs=10", f"data.split_seed={number}", f"hydra.sweeper.n_trials={trials}",
            f"hydra.sweeper.sampler.seed={number}", "hydra.sweeper.report=false",
        )  # fmt: skip
        run("-m", "caviar.cli", "confirm", str(OUT / "sweeps" / name), "--top", "1", "--no-test")
        sweep = Sweep(OUT / "sweeps" / name)
        evidence = Evidence.of(sweep)
        known, best = worth(evidence), int(evidence.complete.index[0])
        is_default = evidence.default == best
        fresh = confirmed(sweep.folder).get("default" if is_default else str(best))
        if best not in known or fresh is None:
            raise UsageError(f"{sweep.folder}: nothing told of trial {best}")
        one, score = known[best], float(evidence.complete["value"].iloc[0])
        spread = (fresh.high - fresh.low) / 2 / 2.262 * fresh.n**0.5
        found = Covered(task, trials, score, one.mean, one.low, one.high, fresh.mean, spread)
        told = f"{name}, {trials} trials: {score:.4g}, worth {one}, confirmed {fresh.mean:.4g}"
        print(told, found.side or "", file=sys.stderr)
        yield found


def tables() -> None:
    """Write scikit-learn's small tables as files."""
    from sklearn import datasets

    for name in TABLES:
        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        frame = frame.rename(columns={"target": "y"}).astype({"y": str})
        frame["y"] = "class " + frame["y"]
        frame.to_csv(OUT / f"{name}.csv", index=False)


def run(*words: str) -> None:
    """A command of this environment, in a folder of the benchmark's own."""
    environment = {**os.environ, "CAVIAR_OUTPUTS": str(OUT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=OUT, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}\nfailed: {' '.join(words)}")


if __name__ == "__main__":
    main()
