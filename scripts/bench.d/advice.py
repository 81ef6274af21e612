"""Whether what a sweep says to do next pays: its commands are followed, and judged by fresh seeds."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caviar.reading.sweep import Sweep
from caviar.reports.evidence import Evidence
from caviar.reports.verdicts.registry import judge
from caviar.runs.files import write_atomic

sys.path.append(str(Path(__file__).resolve().parent / "apps"))
from outcome import TUNED, Outcome, by_verdict, commands_of, first_of, markdown, summary
from tables import words_of
from truth import best_known, judged, scores, with_values

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "outputs" / "bench" / "advice"
RESULTS = OUT / "results"
SWEEPS = OUT / "sweeps"
CONFIGS = OUT / "configs"
SHORT = 540
"""Seconds after which a short run begins nothing new."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "slow": {"optimizer.lr": 1e-4},
    "fast": {"optimizer.lr": 0.1},
    "narrow": {"model.width": 16, "model.depth": 1},
    "dropped": {"model.dropout": 0.5},
    "decayed": {"optimizer.weight_decay": 0.1},
}
"""Configs that sweeps begin from: what each changes of the one that is shipped."""
DATA = {
    "clean": ["slow", TUNED],
    "moons": ["fast", TUNED],
    "quantiles": ["decayed", TUNED],
    "circles": ["narrow", TUNED],
    "flipped": ["dropped", TUNED],
    "spirals": ["narrow", TUNED],
    "breast_cancer": ["slow", TUNED],
    "few": ["dropped", TUNED],
    "irrelevant": ["shipped", TUNED],
    "clusters": ["shipped", TUNED],
    "blobs": ["shipped"],
    "wine": ["decayed", TUNED],
    "coin": ["shipped", TUNED],
    "coin_wide": ["shipped", TUNED],
    "coin_loaded": ["shipped", TUNED],
    "digits": ["shipped", TUNED],
}
"""Data, and the configs that sweeps of them begin from."""
TASKS = [f"{data}/{default}" for data, defaults in DATA.items() for default in defaults]


def run(line: Iterable[str]) -> str:
    """A command of this environment; what it printed."""
    program, *words = line
    start = {"python": [sys.executable, "-P"], "caviar": [sys.executable, "-m", "caviar.cli"]}
    environment = {**os.environ, "CAVIAR_OUTPUTS": str(OUT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start[program], *words], cwd=OUT, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        told = f"{done.stdout[-1500:]}{done.stderr[-1500:]}"
        raise RuntimeError(f"{shlex.join(line)}: status {done.returncode}\n{told}")
    return done.stdout + done.stderr


def as_a_shell(command: str) -> list[str]:
    """The words of a printed command."""
    return [os.path.expanduser(word) for word in shlex.split(command)]


def config_of(name: str, number: int | None = None) -> dict[str, Any]:
    """The config of a sweep's trial, the best by its score where none is named."""
    sweep = Sweep(SWEEPS / name)
    return sweep.ranked[0].config if number is None else sweep.run(number).config


def follow(command: str, base: str, name: str) -> dict[str, Any]:
    """Do what a sweep says, as it is printed, in a sweep called ``name``: the config that it leads to."""
    line = as_a_shell(command)
    if line[:2] == ["caviar", "confirm"]:
        run([*line, "--no-test"])
        told = json.loads((SWEEPS / base / "confirm.json").read_text())[-1]["result"]["estimates"]
        sign = Sweep(SWEEPS / base).sign
        winner = min(told, key=lambda one: sign * told[one]["mean"])
        return config_of(base, 0 if winner == "default" else int(winner))
    if line[:2] == ["caviar", "resume"]:
        run(line)
        return config_of(base)
    if line[:2] == ["caviar", "zoom"]:
        out = ["--name", name.replace("-", "_"), "--out", str(CONFIGS / "space"), "--force"]
        told = run([*line, *out])
        line = as_a_shell(re.findall(r"search it with: (.*)$", told, re.M)[-1])
    shutil.rmtree(SWEEPS / name, ignore_errors=True)
    run([*line, f"name={name}", "hydra.sweeper.report=false"])
    return config_of(name)


class Study:
    """One task and seed; what was done is kept in `RESULTS`, a file for each data and seed."""

    def __init__(self, done: dict[str, Any], task: str, seed: int, options: Any) -> None:
        self.done, self.task, self.seed, self.options = done, task, seed, options
        self.data, _, self.default = task.partition("/")
        self.name = f"{self.data}-{self.default}-{seed}"

    def step(self, name: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What an act gave, when it was first done."""
        if name not in self.done:
            began = time.monotonic()
            try:
                found = act()
            except RuntimeError as error:
                found = {"error": str(error)}
            self.done[name] = {**found, "seconds": round(time.monotonic() - began, 1)}
            path = RESULTS / f"{self.data}-{self.seed}.json"
            mine = {
                k: v
                for k, v in self.done.items()
                if k.startswith(f"{self.data}/") and f"/{self.seed}/" in k
            }
            write_atomic(path, json.dumps(mine, indent=1) + "\n")
            told = {
                k: np.mean(v) if k == "scores" else v for k, v in found.items() if k != "verdicts"
            }
            print(f"{time.strftime('%H:%M:%S')} {name}: {told}", file=sys.stderr, flush=True)
        return self.done[name]

    def go(self) -> None:
        """The default sweep, what it says, the best setting that is known, what the commands lead to."""
        key = f"{self.task}/{self.seed}"
        base = self.step(f"{key}/sweep", self.sweep)
        if "error" in base:
            return
        for name, number in (("default", 0), ("best", None)):
            self.step(f"{key}/{name}", lambda n=number: {"scores": judged(config_of(self.name, n))})
        if self.default != TUNED:
            known = self.step(f"{self.data}/{self.seed}/known", self.known)
            self.write_tuned(known["values"])
        first = first_of(base["verdicts"])
        commands = list(commands_of(base["verdicts"])) if self.options.every else []
        if self.options.every:
            self.step(f"{key}/random", self.random)
        # To resume changes the sweep itself.
        for command in sorted({*commands, *([first] if first else [])}, key=_resumes):
            where = f"{self.name}-next{len(list(SWEEPS.glob(f'{self.name}-next*')))}"
            self.step(f"{key}/{command}", lambda c=command, w=where: self.followed(c, w))

    def sweep(self) -> dict[str, Any]:
        """The default sweep, and what it says before anybody has confirmed anything."""
        for old in SWEEPS.glob(f"{self.name}*"):
            if re.fullmatch(rf"{self.name}(-confirm.*|-next.*)?", old.name):
                shutil.rmtree(old)
        self.write_default(self.default, DEFAULTS.get(self.default))
        count, place = (
            self.options.trials,
            list(DEFAULTS).index(self.default) if self.default in DEFAULTS else 99,
        )
        run([
            "python", "-m", "project.train", "-m", *words_of(self.data, self.seed, OUT / "tables"),
            f"experiment={self.experiment(self.default)}", f"name={self.name}", "engine=fused",
            f"hydra.searchpath=[file://{CONFIGS}]", f"hydra.sweeper.n_trials={count}",
            f"hydra.sweeper.sampler.seed={100 * self.seed + place}", "hydra.sweeper.report=false",
            "hydra.sweeper.executor.workers=1", "hydra.sweeper.fused.lanes=32",
        ])  # fmt: skip
        told = [vars(verdict) for verdict in judge(Evidence.of(Sweep(SWEEPS / self.name)))]
        return {"verdicts": told}

    def known(self) -> dict[str, Any]:
        """The best setting of the space that very many random trials and fresh seeds find."""
        sweep, config = Sweep(SWEEPS / self.name), config_of(self.name, 0)
        mine = self.done[f"{self.task}/{self.seed}/default"]["scores"]
        if set(mine) == {1.0}:
            return {"values": {}, "scores": mine, "longer": mine}  # nothing is better than that
        values = best_known(config, sweep.space, self.options.known, sweep.sign)
        best = with_values(config, values)
        twice = {"trainer.max_epochs": 2 * config["trainer"]["max_epochs"]}
        longer = judged(with_values(best, twice))
        return {"values": values, "scores": judged(best), "longer": longer}

    def random(self) -> dict[str, Any]:
        """The best of as many random trials again."""
        sweep, config = Sweep(SWEEPS / self.name), config_of(self.name, 0)
        rng = np.random.default_rng([self.seed, 7])
        drawn = [
            sweep.space.draw(lambda h: h.from_unit(rng.random()))
            for _ in range(self.options.trials)
        ]
        found = sweep.sign * scores(with_values(config, values) for values in drawn)
        return {"scores": judged(with_values(config, drawn[int(np.nanargmin(found))]))}

    def followed(self, command: str, name: str) -> dict[str, Any]:
        """What a command leads to."""
        return {"scores": judged(follow(command, self.name, name))}

    def experiment(self, default: str) -> str:
        """The name of the config of a default."""
        return f"{self.data}_{self.seed}_{TUNED}" if default == TUNED else f"advice_{default}"

    def write_tuned(self, values: dict[str, Any]) -> None:
        """The config of the best values that are known."""
        self.write_default(TUNED, values)

    def write_default(self, default: str, values: dict[str, Any] | None) -> None:
        """The config of a default, where its values are known."""
        path = CONFIGS / "experiment" / f"{self.experiment(default)}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        if values is None:
            if not path.exists():
                raise RuntimeError(f"{self.data}: what is best is not known yet")
            return
        groups: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, value in values.items():
            group, _, key = name.partition(".")
            groups[group][key] = value
        path.write_text(f"# @package _global_\n{json.dumps(groups)}\n")


def _resumes(command: str) -> bool:
    return command.startswith("caviar resume")


def main() -> None:
    """Do what is left of the study, and print the tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench advice", description=__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), metavar="DATA")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--trials", type=int, default=256, help="of each sweep")
    parser.add_argument(
        "--known", type=int, default=20_000, help="random trials that tell what is best"
    )
    parser.add_argument("--every", action="store_true", help="follow every verdict's command")
    parser.add_argument("--short", action="store_true", help="begin nothing new after nine minutes")
    parser.add_argument("--show", action="store_true", help="only the tables of what is done")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (CONFIGS / "space").mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    # What a sweep says is to be typed where its outputs are.
    os.chdir(OUT)
    done: dict[str, Any] = {}
    for path in RESULTS.glob("*.json"):
        done |= json.loads(path.read_text())
    ends = time.monotonic() + (SHORT if options.short else float("inf"))
    wanted = [
        (task, seed)
        for seed in options.seeds
        for task in TASKS
        if task.partition("/")[0] in options.data
    ]
    for task, seed in [] if options.show else wanted:
        if time.monotonic() < ends:
            Study(done, task, seed, options).go()
    found = [(Outcome(done, task, seed), task, seed) for task, seed in wanted]
    print(markdown([one.row(task, seed) for one, task, seed in found if one.there]), end="\n\n")
    print(*summary([one for one, _, _ in found]), "", sep="\n")
    print(markdown(by_verdict(done, wanted)))


if __name__ == "__main__":
    main()
