"""Sweeps and runs of all kinds, killed, stopped, signalled and resumed at random, against calm ones."""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_BLOWS = 5
"""So often one sweep is disturbed; then it is let finish."""

ENDS_IN = 40.0
"""Seconds that a process may take to end after SIGTERM: 30, and some for a machine that is busy."""

TOKEN = f"CAVIAR_CHAOS={os.getpid()}-{time.time_ns()}"
"""In the environment of all that this starts, and so the mark of what it may kill."""

SMALL = (
    *(
        "data=synthetic",
        "data.noise=0.8",
        "model.depth=1",
        "space=none",
        "callbacks.progress_bar=null",
    ),
    *("callbacks.checkpoint.every_seconds=0.3", "hydra.sweeper.report=false"),
)
SOLO = (*SMALL, "data.samples=300", "model.width=8", "model.dropout=0.2", "trainer.max_epochs=60")
LANES = (
    *(*SMALL, "data.samples=2000", "model.width=32", "model.dropout=0", "trainer.max_epochs=800"),
    *("hydra.sweeper.fused.checkpoint_every=0.5", "hydra.sweeper.fused.keep=null"),
)
LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
POINTS = "optimizer.lr=choice(0.001,0.003,0.01,0.03,0.05,0.1)"


@dataclass
class Kind:
    """A kind of sweep or run.

    Attributes:
        words: what the project is told.
        calm: whether one that is not disturbed has the same values to the last bit.
        run: ``sweep``, ``run`` (a single one) or ``confirm`` (a sweep, then `caviar confirm` of it).
    """

    words: tuple[str, ...]
    calm: bool = True
    run: str = "sweep"


KINDS = {
    "solo random": Kind(("engine=solo", LR, *SOLO)),
    "solo sobol inline": Kind(("engine=solo", "search=sobol", "executor=inline", LR, *SOLO)),
    "solo grid": Kind(("engine=solo", "search=grid", POINTS, *SOLO)),
    "solo random plateau": Kind(("engine=solo", LR, *SOLO, "scheduler=plateau")),
    "solo tpe median": Kind(("engine=solo", "search=tpe", "pruner=median", LR, *SOLO), calm=False),
    "solo folds": Kind(("engine=solo", LR, *SOLO, "data.folds=2", "trainer.max_epochs=30")),
    "fused random": Kind(("engine=fused", LR, *LANES)),
    "fused sobol folds": Kind(("engine=fused", "search=sobol", LR, *LANES, "data.folds=2")),
    "fused grid cosine": Kind(("engine=fused", "search=grid", POINTS, *LANES, "scheduler=cosine")),
    "fused random asha": Kind(("engine=fused", "pruner=asha", LR, *LANES), calm=False),
    "auto random": Kind(("engine=auto", LR, *LANES)),
    "auto tpe": Kind(("engine=auto", "search=tpe", LR, *LANES), calm=False),
    "single run": Kind((*SOLO, "trainer.max_epochs=400", "scheduler=cosine"), run="run"),
    "panda": Kind((*SOLO, "trainer.max_epochs=400", "panda=true"), run="run"),
    "confirm": Kind(("engine=solo", LR, *SOLO), calm=False, run="confirm"),
}


@dataclass
class Chaos:
    """One disturbed sweep, run or confirming.

    Attributes:
        blows: what was done to it, in words.
        wrong: what was found wrong with it.
    """

    root: Path
    name: str
    kind: Kind
    rng: random.Random
    blows: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def folder(self) -> Path:
        part = "runs" if self.kind.run == "run" else "sweeps"
        return self.root / "outputs" / part / self.name

    def begin(self) -> list[str]:
        """The command that begins it."""
        app = [sys.executable, "-P", "-m", "project.train"]
        if self.kind.run == "run":
            return [*app, *self.kind.words, f"name={self.name}"]
        seeds = ("hydra.sweeper.sampler.seed=7", "hydra.sweeper.n_trials=6")
        workers = (
            () if "executor=inline" in self.kind.words else ("hydra.sweeper.executor.workers=2",)
        )
        return [
            *(*app, "-m", *self.kind.words, f"name={self.name}", *seeds, *workers),
            *("hydra.sweeper.retries=1000", "hydra.sweeper.max_same_failures=1000"),
        ]

    def go_on(self) -> list[str]:
        """The command that goes on with it, or begins it where nothing had begun."""
        began = self.folder / ("result.json" if self.kind.run == "run" else "sweep.yaml")
        if not began.exists():
            if self.kind.run == "run":
                shutil.rmtree(self.folder, ignore_errors=True)
            return self.begin()
        return [sys.executable, "-m", "caviar.cli", "resume", str(self.folder)]

    def disturb(self, command: list[str], again: list[str] | None = None) -> None:
        """Run it to its end, whatever comes in between; ``again`` is the command that goes on."""
        process = self._start(command)
        while True:
            calm = self.rng.uniform(0.5, 7.0)
            until = time.monotonic() + (calm if len(self.blows) < MOST_BLOWS else 400)
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            if process.poll() is None:
                if len(self.blows) >= MOST_BLOWS:
                    self.wrong.append("it hangs")
                    kill(ours(), signal.SIGKILL)
                    process.wait()
                    return
                told = time.monotonic()
                if not self._strike(process.pid):
                    continue
                self._wait_for_end(process, told)
            status = process.returncode
            self._wait_for_all()
            if status == 0:
                return
            if status not in (130, 143, -9, -15, -12, -2):
                self.wrong.append(f"exit status {status}: {self._last_words()}")
                return
            time.sleep(self.rng.uniform(0, 0.3))
            process = self._start(again or self.go_on())

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        key, _, value = TOKEN.partition("=")
        env = {**os.environ, "OMP_NUM_THREADS": "1", key: value}
        env["CAVIAR_OUTPUTS"] = str(self.root / "outputs")
        with (self.root / f"{self.name}.out").open("ab") as out:
            out.write(f"--- {' '.join(command[1:])}\n".encode())
            out.flush()
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _strike(self, controller: int) -> bool:
        """Do something to it; whether it is to end by that."""
        everybody = ours()
        others = sorted(everybody - {controller})
        one = {self.rng.choice(others)} if others else {controller}
        blow = self.rng.choice(
            [
                *("kill", "kill all", "kill worker", "stop", "stop worker"),
                *("TERM", "TERM all", "USR2 all", "INT twice", "INT all", "TERM worker"),
            ]
        )
        self.blows.append(blow)
        worker = others and "worker" in blow
        target = one if worker else everybody if "all" in blow else {controller}
        if "stop" in blow:
            kill(target, signal.SIGSTOP)
            time.sleep(self.rng.uniform(0.1, 3.0))
            kill(target, signal.SIGCONT)
            return False
        number = {"kill": signal.SIGKILL, "TERM": signal.SIGTERM, "USR2": signal.SIGUSR2}.get(
            blow.split()[0], signal.SIGINT
        )
        kill(target, number)
        if number == signal.SIGINT:
            time.sleep(self.rng.uniform(0.3, 1.0))
            kill(target, number)
        return not worker

    def _wait_for_end(self, process: subprocess.Popen[bytes], told: float) -> None:
        try:
            process.wait(4 * ENDS_IN)
        except subprocess.TimeoutExpired:
            self.wrong.append(f"{self.blows[-1]}: not ended after {4 * ENDS_IN:.0f} s")
            kill(ours(), signal.SIGKILL)
            process.wait()
        took = time.monotonic() - told
        self.slowest = max(self.slowest, took)
        if took > ENDS_IN:
            self.wrong.append(f"{self.blows[-1]}: it took {took:.0f} s to end")

    def _wait_for_all(self) -> None:
        end = time.monotonic() + 30
        while ours():
            if time.monotonic() > end:
                self.wrong.append(f"processes left behind: {sorted(ours())}")
                kill(ours(), signal.SIGKILL)
                return
            time.sleep(0.02)

    def _last_words(self) -> str:
        return (self.root / f"{self.name}.out").read_text(errors="replace")[-400:]

    def check(self, calm: Path | None) -> None:
        """Note what is wrong with what came of it."""
        if self.kind.run == "run":
            held = [self.folder]
        else:
            held = sorted((self.folder / "trials").iterdir())
            self._check_study()
        left = [
            str(path.relative_to(self.root))
            for path in (self.root / "outputs").rglob("*")
            if path.name.endswith((".partial", ".lock")) or path.name in LEFT
        ]
        self.wrong += [f"left behind: {', '.join(left)}"] if left else []
        if calm is not None:
            whole = [calm] if self.kind.run == "run" else sorted((calm / "trials").iterdir())
            ours_, theirs = dict(curves(held)), dict(curves(whole))
            for point in ours_.keys() | theirs.keys():
                if ours_.get(point) != theirs.get(point):
                    self.wrong.append(f"not what a calm one gives at {point}")

    def _check_study(self) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(self.folder / "study.journal")))
        (study,) = optuna.get_all_study_names(storage)
        trials = optuna.load_study(study_name=study, storage=storage).trials
        again = {n for trial in trials for n in trial.user_attrs.get("retry_of", [])}
        done = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]
        if len(done) != 6:
            self.wrong.append(f"{len(done)} trials have ended of 6")
        if len({json.dumps(t.params, sort_keys=True) for t in done}) != len(done):
            self.wrong.append("a point was trained twice to its end")
        for trial in trials:
            number, state = trial.number, trial.state.name
            never = "never_ran" in trial.user_attrs
            if trial in done and number in again:
                self.wrong.append(f"trial {number} is {state}, and was done again")
            if trial not in done and not (number in again or never):
                self.wrong.append(f"trial {number} is {state} for good")
            file = self.folder / "trials" / f"{number:04}" / "result.json"
            told = json.loads(file.read_text())["state"] if file.exists() else None
            if told != state and not never:
                self.wrong.append(f"trial {number} is {state}, but {told} in its folder")


LEFT = ("owner.json", "lane.ckpt", "request")


def curves(folders: list[Path]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Hyperparameters -> score and curves of each complete run."""
    for folder in folders:
        file = folder / "result.json"
        result = json.loads(file.read_text()) if file.exists() else {}
        if result.get("state") == "COMPLETE":
            rows = [list(csv.reader(f.open())) for f in sorted(folder.rglob("metrics.csv"))]
            yield json.dumps(result["params"]), (result["value"], result["best_epoch"], rows)


def ours() -> set[int]:
    """The processes under way that this one started, directly or not."""
    found = set()
    for entry in os.listdir("/proc"):
        try:
            if (
                not entry.isdigit()
                or TOKEN.encode() not in Path(f"/proc/{entry}/environ").read_bytes()
            ):
                continue
            if Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(int(entry))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def kill(pids: set[int], number: int) -> None:
    """Signal processes, those of them that are ours still."""
    for pid in pids & ours():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def one(root: Path, name: str, kind: Kind, rng: random.Random) -> Chaos:
    """Run one kind, disturbed; and undisturbed, where both come to the same."""
    calm = None
    if kind.calm:
        calm = Chaos(root / "calm", name, kind, rng, ["calm"] * MOST_BLOWS)
        calm.root.mkdir(parents=True, exist_ok=True)
        calm.disturb(calm.begin())
    chaos = Chaos(root / "chaos", name, kind, rng)
    chaos.root.mkdir(parents=True, exist_ok=True)
    chaos.disturb(chaos.begin())
    if kind.run == "confirm" and not chaos.wrong:
        words = ["confirm", name, "--top", "2", "--seeds", "2", "--no-test"]
        command = [sys.executable, "-m", "caviar.cli", *words]
        sweep, chaos.blows = chaos.blows, []
        chaos.disturb(command, command)
        chaos.blows = sweep + chaos.blows
    if not chaos.wrong:
        chaos.check(calm.folder if calm else None)
    return chaos


def main() -> int:
    """Disturb one kind after the other until the time is over; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench chaos")
    parser.add_argument("seconds", nargs="?", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", choices=KINDS, help="this kind alone")
    given = parser.parse_args()
    # In the background of a shell it is ignored, here and in all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rng = random.Random(given.seed)
    print(f"chaos of {given.seconds:g} s, seed {given.seed}", flush=True)
    root, end, wrong, blows, count = (
        Path(tempfile.mkdtemp(prefix="chaos-")),
        time.monotonic(),
        0,
        0,
        0,
    )
    end += given.seconds
    names: list[str] = []
    try:
        while time.monotonic() < end:
            names = names or rng.sample(list(KINDS), len(KINDS))
            name, count = given.only or names.pop(), count + 1
            began = time.monotonic()
            place = root / f"{count:03}"
            done = one(place, name.replace(" ", "-"), KINDS[name], rng)
            took, wrong, blows = (
                time.monotonic() - began,
                wrong + bool(done.wrong),
                blows + len(done.blows),
            )
            print(
                f"{'WRONG' if done.wrong else 'right'}  {name:20} {took:5.0f} s  {', '.join(done.blows)}"
                f"  (slowest end {done.slowest:.1f} s)",
                flush=True,
            )
            for line in done.wrong:
                print(f"       {line}", flush=True)
            if not done.wrong:
                shutil.rmtree(place)
    finally:
        kill(ours(), signal.SIGCONT)
        kill(ours(), signal.SIGKILL)
    print(f"{count} sweeps and runs, {blows} blows, {wrong} wrong; seed {given.seed}")
    if wrong:
        print(
            f"what is wrong is in {root}; again: scripts/bench chaos {given.seconds:g} --seed {given.seed}"
        )
        return 1
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
