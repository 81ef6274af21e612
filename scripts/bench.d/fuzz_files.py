"""Damage to the files of sweeps and runs, at random, for SECONDS; what any command makes of it."""

from __future__ import annotations

import argparse
import gc
import importlib
import pkgutil
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.damage import made, outside, running  # noqa: E402
from tests.damage.kinds import kinds_for  # noqa: E402
from tests.damage.structure import SECRET  # noqa: E402

SWEEPS = ("lanes", "solo", "lanes-confirm")
RUNS = ("single", "cub", "killed", "lanes/3", "solo/1", "solo/best", "lanes-confirm-test")

LOOKING = [
    "runs list", "runs list --all-columns --json", "runs list --where optimizer.lr<1 --csv",
    "runs list {sweep} --sort best", "runs list lanes solo --summary", "runs show {run}",
    "runs show {run} --json", "runs diff {run} {other}", "runs best {sweep}", "runs best {sweep} --ckpt",
    "runs export out.csv", "runs export out.parquet {sweep} --epochs", "runs export out.json {sweep}",
    "logs {run}", "logs {run} -f --lines 3", "status --all", "status {sweep} --json", "report {sweep}",
    "report {run}", "report lanes solo -o both.html", "report {sweep} --no-page --json", "watch {run}",
    "watch {run} --once",
]  # fmt: skip
CHANGING = [
    "runs tag {run} new", "runs tag {run} --remove good", "runs rm {run} --yes", "runs rm {sweep} --yes",
    "zoom {sweep} --out spaces --force", "set {run} optimizer.lr=0.1 --wait 1", "rollback {run} --wait 1",
    "pause {run} --wait 1", "stop {run}", "stop {sweep}", "cancel {sweep}",
]  # fmt: skip
TRAINING = {
    "resume {sweep} n_trials=9": (0, 2, 3, 4), "resume {sweep}": (0, 2, 3, 4), "resume {run}": (0, 1, 2),
    "resume killed": (0, 1, 2), "confirm {sweep} --top 1 --seeds 2 --no-test": (0, 2),
    "confirm lanes --top 1 --seeds 2": (0, 2), "replay {run}": (0, 1, 2), "replay cub": (0, 1, 2),
}  # fmt: skip


def _import_all(package: str) -> None:
    """Import each module of a package but its programs: the children need not."""
    import lightning.pytorch  # noqa: F401

    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    for module in found:
        if not module.name.startswith("project.lessons") and "__main__" not in module.name:
            importlib.import_module(module.name)


HARMFUL = re.compile("target|program|pickle|link")
"""Kinds of damage in a folder that only a fool would trust."""


class Fuzzer:
    """One working folder, damaged again and again.

    Args:
        root: where it, its undamaged copy, and the folder outside are.
    """

    def __init__(self, root: Path, only: str | None) -> None:
        self.root, self.only = root, only
        self.work, self.base, self.told = root / "work", root / "base", root / "told"
        self.outside = root / "outside"
        self.env = made.environment(self.work)
        self.faults: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the real thing, which this takes a minute for."""
        if not self.base.exists():
            made.make(self.work)
            outside.lay_out(self.outside, self.work)
            shutil.copytree(self.work, self.base, symlinks=True)
        self.told.mkdir(exist_ok=True)
        self.files = [
            file.relative_to(self.base)
            for part in ("outputs", "cache")
            for file in sorted((self.base / part).rglob("*"))
            if file.is_file() and file.suffix != ".html"
        ]
        import torch

        for package in ("caviar", "project"):
            _import_all(package)
        torch.set_num_threads(1)
        gc.collect()
        gc.freeze()

    def once(self, seed: str) -> int:
        """Damage a copy and run commands on it; how many."""
        chance = Random(seed)
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work, symlinks=True)
        files = [file for file in self.files if not self.only or re.search(self.only, str(file))]
        file = chance.choice(files)
        kinds = kinds_for(file)
        kind = chance.choice(sorted(kinds))
        try:
            kinds[kind](self.work / file, chance, self.outside)
        except (ValueError, KeyError, TypeError, AttributeError, LookupError):
            return 0  # there is nothing in this file that could be damaged so
        before = outside.seen(self.root, self.work)
        commands = self._commands(file, kind, chance)
        for told, command, statuses, deadline in commands:
            began = time.monotonic()
            ran = running.run(command, self.work, self.env, self.told, deadline)
            raw = told.startswith("logs")
            going = ran.status is None and deadline == 15.0
            fault = None if going else running.wrong(ran, statuses, raw)
            after = outside.seen(self.root, self.work)
            changed = [
                p for p in {*before, *after} if before.get(p) != after.get(p) and "/told" not in p
            ]
            if changed:
                fault = f"it changed {', '.join(sorted(changed)[:3])}"
                before = after
            self._note(fault or self._leaked(began), seed, file, kind, told)
        return len(commands)

    def _leaked(self, since: float) -> str | None:
        age = time.time() - (time.monotonic() - since)
        for name in ("outputs", "spaces", "."):
            found = (self.work / name).rglob("*") if name != "." else self.work.glob("*")
            for path in found:
                try:
                    if (
                        path.is_symlink()
                        or not path.is_file()
                        or path.lstat().st_mtime < age - 0.05
                    ):
                        continue
                    if path.stat().st_size < 1 << 26 and SECRET.encode() in path.read_bytes():
                        return f"{path.relative_to(self.work)} holds what a link outside holds"
                except OSError:
                    continue
        return None

    def _note(self, fault: str | None, seed: str, file: Path, kind: str, told: str) -> None:
        if fault is None:
            return
        line = f"{fault}  [{told}; {file}: {kind}; --seed {seed}]"
        same = re.sub(r"\d+", "N", f"{told.split()[0]} {fault}")[:160]
        if same not in self.faults:
            self.faults[same] = line
            print(line.replace(str(self.root), ""), flush=True)

    def _commands(
        self, file: Path, kind: str, chance: Random
    ) -> list[tuple[str, Callable[[], None], tuple[int, ...], float]]:
        """Some commands, most of them on what was damaged."""
        parts = file.parts
        near_sweep = parts[2] if len(parts) > 3 and parts[1] == "sweeps" else "lanes"
        run = (
            f"{near_sweep}/{int(parts[4])}"
            if "trials" in parts
            else parts[2]
            if len(parts) > 2
            else "single"
        )
        names = {
            "run": run if chance.random() < 0.8 else chance.choice(RUNS),
            "sweep": near_sweep if chance.random() < 0.8 else chance.choice(SWEEPS),
            "other": chance.choice(RUNS),
        }
        if names["sweep"] == "lanes-confirm-test":
            names["sweep"] = "lanes"
        found = []
        for line in chance.sample(LOOKING, 6) + chance.sample(CHANGING, 2):
            line = line.format_map(names)
            statuses = (0,) if line in ("runs list", "status --all") else (0, 2)
            found.append((line, _caviar(line), statuses, 20.0))
        if chance.random() < 0.3:
            path = self._path(names["run"])
            for module, more in (("test", ()), ("predict", ("data=table.csv", "out=out.csv"))):
                line = f"project.{module} run={path}"
                found.append((line, _module(module, [f"run={path}", *more]), (0, 2), 30.0))
            found.append((f"load {names['sweep']}", _load(names["sweep"], path), (0,), 20.0))
        if chance.random() < 0.12:
            line, statuses = chance.choice(sorted(TRAINING.items()))
            line = line.format_map(names)
            if chance.random() < 0.5 and not HARMFUL.search(kind):
                line += " --trust"
            endless = re.match(
                "(resume|replay) (cub|killed)", line
            )  # they train until they are told
            found.append((line, _caviar(line), statuses, 15.0 if endless else 90.0))
        return found

    def _path(self, run: str) -> str:
        sweep, slash, number = run.partition("/")
        if not slash:
            return f"outputs/{'sweeps' if 'confirm' in run else 'runs'}/{run}"
        return f"outputs/sweeps/{sweep}/trials/{number if number.isalpha() else int(number):04}".replace(
            "best", "0000"
        )


def _caviar(line: str) -> Callable[[], None]:
    def command() -> None:
        from caviar.cli import main

        words = [part.replace("model.width==8", "model.width == 8") for part in line.split()]
        sys.argv = ["caviar", *words]
        main()

    return command


def _module(name: str, words: list[str]) -> Callable[[], None]:
    def command() -> None:
        import runpy

        sys.argv = [name, *words]
        sys.modules.pop(f"project.{name}", None)
        runpy.run_module(f"project.{name}", run_name="__main__")

    return command


def _load(sweep: str, path: str) -> Callable[[], None]:
    """Every property of what Python has of a sweep and of a run; a UsageError is an answer."""

    def command() -> None:
        import caviar

        held = []
        for load, name in ((caviar.load, sweep), (caviar.load_run, path)):
            try:
                held.append(load(name))
            except caviar.UsageError:
                continue
        for one in held:
            for name in ("settings", "metric", "directions", "space", "numbers", "trials", "metrics",
                         "edits", "config", "overrides", "checkpoint", "log", "result"):  # fmt: skip
                if hasattr(type(one), name) or name in vars(one):
                    repr(getattr(one, name))
            for number in getattr(one, "numbers", []):
                repr((one.run(number).config, one.run(number).checkpoint))

    return command


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench fuzz_files")
    parser.add_argument("seconds", nargs="?", type=float, default=300.0)
    parser.add_argument("--seed", help="begin with this one, as a fault's line has it")
    parser.add_argument("--only", help="damage only files whose path this pattern is found in")
    parser.add_argument(
        "--keep", type=Path, help="keep what is made in this folder, or use what is there"
    )
    asked = parser.parse_args()
    place = asked.keep or Path(tempfile.mkdtemp(prefix="caviar-fuzz-"))
    place.mkdir(parents=True, exist_ok=True)
    fuzzer = Fuzzer(place.resolve(), asked.only)
    try:
        fuzzer.prepare()
        end, rounds, commands = time.monotonic() + asked.seconds, 0, 0
        base, _, begin = (asked.seed or f"{time.time_ns() % 100_000}.0").partition(".")
        while time.monotonic() < end:
            commands += fuzzer.once(f"{base}.{int(begin or 0) + rounds}")
            rounds += 1
    finally:
        if asked.keep is None:
            shutil.rmtree(place, ignore_errors=True)
    print(f"{rounds} damages, {commands} commands, {len(fuzzer.faults)} faults")
    raise SystemExit(bool(fuzzer.faults))


if __name__ == "__main__":
    main()
