"""Whether what a sweep says to do next pays: each command is followed, and confirmed by fresh seeds."""

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

from caviar.base.intervals import t_interval
from caviar.reading.sweep import Sweep
from caviar.runs.files import write_atomic

sys.path.append(str(Path(__file__).resolve().parent / "apps"))
from tables import TASKS, sign, words_of

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "outputs" / "bench" / "advice"
RESULTS = OUT / "advice.json"
SWEEPS = OUT / "sweeps"
SPACES = OUT / "configs" / "space"
SHORT = 540
"""Seconds after which a short run begins nothing new."""
NO_SEARCH = ("caviar logs", "caviar runs")
"""Commands that only show something."""


def run(line: Iterable[str]) -> str:
    """A command of this environment; what it printed."""
    program, *words = line
    start = {"python": [sys.executable, "-P"], "caviar": [sys.executable, "-m", "caviar.cli"]}
    environment = {**os.environ, "CAVIAR_OUTPUTS": str(OUT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start[program], *words], cwd=OUT, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(
            f"{shlex.join(line)}: status {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
    return done.stdout + done.stderr


def confirmed(name: str, top: int = 1, seeds: int = 10) -> dict[str, Any]:
    """The last confirm of a sweep, made now: winner, estimates, the winner's lead on the others."""
    run(["caviar", "confirm", str(SWEEPS / name), f"--top={top}", f"--seeds={seeds}", "--no-test"])
    return json.loads((SWEEPS / name / "confirm.json").read_text())[-1]["result"]


def judged(name: str) -> dict[str, Any]:
    """What the best of a sweep is, by its score, and its mean and the default's over ten fresh seeds."""
    found = confirmed(name)
    best, default = found["estimates"][found["winner"]], found["estimates"]["default"]
    lead = found["winner_over"].get("default", {"mean": 0.0, "low": 0.0, "high": 0.0})
    half = [(one["high"] - one["low"]) / 2 / 2.262 * 10**0.5 for one in (best, default)]
    return {
        "mean": best["mean"],
        "default": default["mean"],
        "lead": [lead["mean"], lead["low"], lead["high"]],
        "sd": float(np.hypot(*half) / 2**0.5),
        "trials": len(Sweep(SWEEPS / name).numbers),
    }


def follow(command: str, base: str, name: str) -> dict[str, Any] | None:
    """Do what a sweep says, as it is printed, in a sweep called ``name``; None where that is no search."""
    line = shlex.split(command)
    if line[:2] == ["caviar", "confirm"]:
        winner = confirmed(base, 5)["winner"]
        fresh = confirmed(base, 5)  # by other seeds than those that it was picked by
        mean, default = (fresh["estimates"][one]["mean"] for one in (winner, "default"))
        return {"mean": mean, "default": default, "trials": 60}
    if line[:2] == ["caviar", "zoom"]:
        told = run([*line, "--name", name.replace("-", "_"), "--out", str(SPACES), "--force"])
        line = shlex.split(re.findall(r"search it with: (.*)$", told, re.M)[-1])
    if line[:2] == ["caviar", "resume"]:
        run(line)
        return judged(base)
    if line[0] != "python":
        return None
    shutil.rmtree(SWEEPS / name, ignore_errors=True)
    run([*line, f"name={name}", "hydra.sweeper.report=false"])
    return judged(name)


def verdicts_of(name: str) -> list[dict[str, Any]]:
    """What a sweep means, now."""
    told = run(["caviar", "report", str(SWEEPS / name), "--no-page", "--json"])
    return json.loads(told)["sweeps"][0]["verdicts"]


class Bench:
    """What was done so far, kept in `RESULTS` after each step."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self.done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def step(self, key: str, act: Callable[[], Any]) -> Any:
        """What an act gave, when it was first done."""
        if key not in self.done:
            began = time.monotonic()
            try:
                found = act()
            except RuntimeError as error:
                found = {"error": str(error)}
            if found is not None:
                found["seconds"] = round(time.monotonic() - began, 1)
            self.done[key] = found
            write_atomic(RESULTS, json.dumps(self.done, indent=1) + "\n")
            told = {k: v for k, v in (found or {}).items() if k != "verdicts"}
            print(f"{time.strftime('%H:%M:%S')} {key}: {told}", file=sys.stderr, flush=True)
        return self.done[key]

    def command(self, task: str, seed: int, name: str, trials: int, sampler: int) -> list[str]:
        """A default sweep."""
        return [
            "python", "-m", "project.train", "-m", *words_of(task, OUT / "tables"),
            f"data.split_seed={seed}", f"hydra.searchpath=[file://{OUT}/configs]", f"name={name}",
            f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.sampler.seed={sampler}",
            "hydra.sweeper.report=false",
        ]  # fmt: skip

    def base(self, task: str, seed: int) -> dict[str, Any]:
        """The default sweep, what it says, and what its best is."""
        name = f"{task}-{seed}"
        for old in SWEEPS.glob(f"{name}*"):
            if re.fullmatch(rf"{name}(-confirm.*)?", old.name):
                shutil.rmtree(old)
        run(self.command(task, seed, name, self.trials, seed))
        return {**judged(name), "verdicts": verdicts_of(name)}

    def random(self, task: str, seed: int, name: str, trials: int) -> dict[str, Any]:
        """Random search beside it."""
        shutil.rmtree(SWEEPS / name, ignore_errors=True)
        run(self.command(task, seed, name, trials, 1000 + seed))
        return judged(name)

    def study(self, task: str, seed: int, every: bool, known: int, again: bool) -> None:
        """One task and seed: the default sweep, random search, and the commands of its verdicts."""
        key = f"{task}/{seed}"
        base = self.step(f"{key}/base", lambda: self.base(task, seed))
        if "error" in base:
            return
        if again and not any(k.startswith(f"{key}/caviar resume") for k in self.done):
            base["verdicts"] = verdicts_of(f"{task}-{seed}")
        self.step(
            f"{key}/random", lambda: self.random(task, seed, f"{task}-{seed}-random", self.trials)
        )
        commands = commands_of(base["verdicts"])
        first = first_of(base["verdicts"])
        chosen = list(commands) if every else [c for c in commands if c == first]
        # To resume changes the sweep itself.
        for command in sorted(chosen, key=lambda c: c.startswith("caviar resume")):
            number = list(commands).index(command)
            name = f"{task}-{seed}-next{number}"
            self.step(
                f"{key}/{command}",
                lambda command=command, name=name: follow(command, f"{task}-{seed}", name),
            )
        if known:
            name = f"{task}-{seed}-known"
            self.step(f"{key}/known", lambda: self.random(task, seed, name, known))


def commands_of(verdicts: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Each command that searches, and the verdicts that say it."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict["next"] and not verdict["next"].startswith(NO_SEARCH):
            found.setdefault(verdict["next"], []).append(verdict["name"])
    return found


def stops(verdicts: list[dict[str, Any]]) -> bool:
    """Whether a sweep says that more search will not be seen."""
    return any(v["name"] == "what next" and v["sentence"].startswith("stop") for v in verdicts)


def first_of(verdicts: list[dict[str, Any]]) -> str | None:
    """The command that is recommended first; none where it is to stop."""
    if stops(verdicts):
        return None
    return next(iter(commands_of(verdicts)), None)


def main() -> None:
    """Do what is left of the study, and print the tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench advice", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=128, help="of each sweep")
    parser.add_argument("--first", action="store_true", help="follow the first command alone")
    parser.add_argument("--known", type=int, default=0, help="trials of a large random search")
    parser.add_argument(
        "--again", action="store_true", help="ask sweeps of earlier again what to do"
    )
    parser.add_argument("--short", action="store_true", help="at most ten minutes on two cores")
    parser.add_argument("--json", action="store_true", help="the tables as JSON")
    parser.add_argument("--show", action="store_true", help="only the tables of what is done")
    options = parser.parse_args()
    SPACES.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.trials)
    ends = time.monotonic() + SHORT if options.short else float("inf")
    wanted = [(task, seed) for seed in range(options.seeds) for task in options.tasks]
    for task, seed in [] if options.show else wanted:
        if time.monotonic() < ends:
            bench.study(task, seed, not options.first, options.known, options.again)
    tables = {"verdicts": by_verdict(bench.done, wanted), "study": by_task(bench.done, wanted)}
    if options.json:
        print(json.dumps(tables, indent=1))
    else:
        for rows in tables.values():
            print(markdown(rows), end="\n\n")


def by_verdict(done: dict[str, Any], wanted: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Each verdict's gain on random search of the same cost, and on what it followed, in standard
    deviations of retraining; over the tasks and seeds where it warned.
    """
    random: dict[str, list[float]] = defaultdict(list)
    before: dict[str, list[float]] = defaultdict(list)
    for task, seed in wanted:
        base, other = (done.get(f"{task}/{seed}/{arm}") or {} for arm in ("base", "random"))
        if "mean" not in base or "mean" not in other:
            continue
        unit = max(base["sd"], 1e-9)
        for command, names in commands_of(base["verdicts"]).items():
            found = done.get(f"{task}/{seed}/{command}") or {}
            if "mean" not in found:
                continue
            for name in names:
                random[name].append(sign(task) * (found["mean"] - other["mean"]) / unit)
                before[name].append(sign(task) * (found["mean"] - base["mean"]) / unit)
    return [
        {
            "verdict": name,
            "followed": len(gains),
            "gain on random search": in_words(gains),
            "gain on the sweep": in_words(before[name]),
        }
        for name, gains in random.items()
    ]


def by_task(done: dict[str, Any], wanted: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Where the first command leads, beside the default; whether a better setting is known; who stops."""
    rows = []
    for task in dict.fromkeys(task for task, _ in wanted):
        leads, stopped, known, said, means = [], [], [], [], []
        for seed in (seed for name, seed in wanted if name == task):
            base = done.get(f"{task}/{seed}/base") or {}
            if "mean" not in base:
                continue
            arms = [v for k, v in done.items() if k.startswith(f"{task}/{seed}/") and v]
            known.append(any(better(arm) for arm in arms))
            stopped.append(stops(base["verdicts"]))
            first = first_of(base["verdicts"])
            found = done.get(f"{task}/{seed}/{first}") or {}
            if "mean" in found:
                means.append([base["default"], base["mean"], found["mean"]])
                leads.append(sign(task) * (found["mean"] - base["default"]) / max(base["sd"], 1e-9))
                said.append(" ".join(shlex.split(first or "")[:2]))
        if known:
            default, best, after = np.mean(means, axis=0) if means else [float("nan")] * 3
            rows.append(
                {
                    "task": task,
                    "seeds": len(known),
                    "better is known": sum(known),
                    "says stop": sum(stopped),
                    "first": ", ".join(sorted(set(said))),
                    "default": f"{default:.4g}",
                    "sweep": f"{best:.4g}",
                    "followed": f"{after:.4g}",
                    "lead on the default, sd": in_words(leads),
                    "above it": f"{sum(lead > 0 for lead in leads)} of {len(leads)}",
                }
            )
    return rows


def better(arm: dict[str, Any]) -> bool:
    """Whether a trial was seen to be better than the default, by its paired 95 % interval."""
    return "lead" in arm and arm["lead"][1] > 0


def in_words(gains: list[float]) -> str:
    """A mean with its 95 % interval."""
    if len(gains) < 2:
        return f"{gains[0]:+.2f}" if gains else ""
    found = t_interval(gains)
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def markdown(rows: list[dict[str, Any]]) -> str:
    """Rows as a table."""
    if not rows:
        return "(nothing yet)"
    lines = [[*rows[0]], ["---"] * len(rows[0]), *([str(v) for v in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
