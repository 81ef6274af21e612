"""Executors of many machines, on this one: ms a trial of each, and 64 agents on one sweep."""

from __future__ import annotations

import argparse
import heapq
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from caviar.base.messages import Base, Finished, Job, Started
from caviar.executors import token as tokens
from caviar.executors.channel import Channel, connect
from caviar.executors.protocol import Greeting, Joined, Lanes, Welcome, version
from caviar.executors.worker import Goodbye
from caviar.runs.folder import Result

sys.path.append(str(Path(__file__).resolve().parent))  # last: its inspect.py is not Python's
from cost import CONTROLLER
from sweep import APPS, OUT, ROOT, fresh

SETTINGS = {
    "local": ["workers=2"],
    "listen": ["host=127.0.0.1"],
    "slurm": ["host=127.0.0.1", "jobs=1", "workers_per_job=2", "cpus=2"],
    "ray": ["workers=2"],
}
OUTPUT = "output.txt"
TUNED = 20
"""Trials of Ray Tune, which takes a second for each, or some."""
RAY_TUNE = """
import sys, time
from ray import tune
def nothing(config):
    return {"score": config["u"] ** 2 + config["lr"]}
begin = time.time()
space = {"u": tune.uniform(0, 1), "lr": tune.loguniform(1e-4, 1e-1)}
settings = tune.TuneConfig(num_samples=int(sys.argv[1]), max_concurrent_trials=2)
tune.Tuner(nothing, param_space=space, tune_config=settings).fit()
print("SECONDS", time.time() - begin)
"""


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench cluster", description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--lanes", type=int, default=1024, help="trials on lanes; 0 for none")
    parser.add_argument("--agents", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a trial of these sleeps")
    options = parser.parse_args()
    found: list[dict] = []
    print(
        "| trials | executor | s | ms a trial, from the first to the last | ms of the controller |"
    )
    print("|---|---|---|---|---|", flush=True)
    with ExitStack() as stack:
        for name in SETTINGS:
            try:
                start(name, stack)
            except BaseException as error:  # pytest's Skipped is no Exception
                print(f"| | {name} | not here: {error} | | |", flush=True)
                continue
            for lanes in [False, True] if options.lanes else [False]:
                count = options.lanes if lanes else options.trials
                found.append(
                    told(sweep(name, count, lanes), f"{count} {'lanes' if lanes else 'do nothing'}")
                )
            if name == "ray":
                few = min(options.trials, TUNED)
                found.append(told(tune(few), f"{few} do nothing"))
    lanes = 2 * options.agents
    count = max(options.trials, 6 * lanes)
    many = told(
        crowd(options.agents, count, options.seconds), f"{count} sleep {options.seconds:g} s"
    )
    found.append(many)
    per = many["cpu_ms"]
    print(
        f"\nbusy: {many['busy']:.0%} of {lanes} lanes; {per:.1f} ms of the controller a trial: one"
    )
    print(
        f"feeds {600 / per * 100:,.0f} lanes whose trials take a minute (at most) by one processor"
    )
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cluster.json").write_text(json.dumps(found, indent=1) + "\n")


def told(facts: dict, what: str) -> dict:
    """Print a row."""
    cpu = f"{facts['cpu_ms']:.1f}" if facts.get("cpu_ms") else ""
    row = f"| {what} | {facts['executor']} | {facts['seconds']:.1f} | {facts['ms']:.1f} | {cpu} |"
    print(row, flush=True)
    return facts


def start(name: str, stack: ExitStack) -> None:
    """Bring up the cluster that this executor needs."""
    sys.path.append(str(ROOT))
    from tests.executors import clusters

    if name in ("slurm", "ray"):
        folder = Path(tempfile.mkdtemp(prefix="caviar-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(getattr(clusters, name)(folder))


def sweep(name: str, trials: int, lanes: bool) -> dict:
    """Run a sweep of two workers to its end."""
    folder = fresh(OUT / "work" / f"cluster-{name}")
    shutil.copytree(APPS, folder)
    words = ["nothing.py", "-m", "--config-name", "caviar"]
    if lanes:
        words = [str(ROOT / "src/project/train.py"), "-m", "engine=fused", "trainer.max_epochs=10"]
        words += ["model.width=32", f"hydra.sweep.dir={folder}/sweep"]
    settings = [f"hydra.sweeper.executor.{word}" for word in SETTINGS[name]]
    words += [f"hydra/sweeper/executor={name}", f"hydra.sweeper.n_trials={trials}", *settings]
    begin = time.time()
    process = controller(folder, words)
    joined = None
    if name == "listen":
        joined = subprocess.Popen(
            [sys.executable, "-m", "caviar.cli", "join", str(waiting(folder, process))],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
    facts = ended(process, folder)
    if joined is not None:
        joined.wait(30)
    return {
        "executor": name,
        "trials": trials,
        "seconds": time.time() - begin,
        "cpu_ms": (facts["cpu_seconds"] - baseline()) / trials * 1e3,
        **pace(folder, trials),
    }


def controller(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Start a sweep, of which it is written down what its process took."""
    with (folder / OUTPUT).open("w") as out:  # a pipe that nobody reads is soon full
        return subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, *words],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def waiting(folder: Path, process: subprocess.Popen[bytes]) -> Path:
    """The sweep's folder, once it listens for agents."""
    while not (folder / "sweep" / tokens.TOKEN).exists():
        assert process.poll() is None, (folder / OUTPUT).read_text()
        time.sleep(0.02)
    return folder / "sweep"


def ended(process: subprocess.Popen[bytes], folder: Path) -> dict:
    """What a sweep took, when it has ended."""
    process.wait()
    out = (folder / OUTPUT).read_text()
    if process.returncode:
        raise SystemExit(out[-3000:])
    facts = json.loads(out.rpartition("FACTS")[2].splitlines()[0])
    return {"cpu_seconds": facts["cpu_seconds"]}


def pace(folder: Path, trials: int) -> dict:
    """ms a trial between the first end and the last; they are as apart as their results were written."""
    ends = sorted(f.stat().st_mtime for f in folder.glob("sweep/trials/*/result.json"))
    assert len(ends) == trials
    return {"ms": (ends[-1] - ends[0]) / (trials - 1) * 1e3}


def crowd(agents: int, trials: int, seconds: float) -> dict:
    """A sweep on many agents of two workers each, whose trials sleep: all agents are this process."""
    folder = fresh(OUT / "work" / "cluster-crowd")
    shutil.copytree(APPS, folder)
    begin = time.time()
    words = ["nothing.py", "-m", "--config-name", "caviar", "hydra/sweeper/executor=listen"]
    words += ["hydra.sweeper.executor.host=127.0.0.1", f"hydra.sweeper.n_trials={trials}"]
    process = controller(folder, words)
    where = waiting(folder, process)
    time.sleep(0.5)
    token, address = tokens.read(where)
    selector = selectors.DefaultSelector()
    for _ in range(agents):
        channel = connect(*tokens.split(address), token)
        channel.send(Greeting("bench", os.getpid(), "", None, version()))
        selector.register(channel, selectors.EVENT_READ, channel)
    wakes: list[tuple[float, int, Channel]] = []
    first, slept = 0.0, 0.0
    while selector.get_map():
        now = time.monotonic()
        for key, _ in selector.select(max(wakes[0][0] - now, 0) if wakes else None):
            channel = key.data
            for message in channel.receive():
                if isinstance(message, Welcome):
                    channel.send(Joined(shares_disk=True, workers=2))
                    channel.send(Lanes(2))
                elif isinstance(message, Job):
                    first = first or time.monotonic()
                    channel.send((Started(message.number, "bench"),))
                    heapq.heappush(wakes, (time.monotonic() + seconds, message.number, channel))
                    Path(message.folder).mkdir(parents=True, exist_ok=True)
                elif not isinstance(message, Base):
                    assert isinstance(message, Goodbye), message
                    selector.unregister(channel)
                    channel.close()
                    break
        while wakes and wakes[0][0] <= time.monotonic():
            _, number, channel = heapq.heappop(wakes)
            folder_of = folder / "sweep" / "trials" / f"{number:04}"
            Result(state="COMPLETE", number=number, value=1.0, params={}).write(folder_of)
            channel.send((Finished(number, [1.0], seconds),))
            slept, last = slept + seconds, time.monotonic()
    facts = ended(process, folder)
    return {
        "executor": f"{agents} agents",
        "trials": trials,
        "seconds": time.time() - begin,
        "cpu_ms": (facts["cpu_seconds"] - baseline()) / trials * 1e3,
        "busy": slept / (2 * agents * (last - first)),
        **pace(folder, trials),
    }


@cache
def baseline() -> float:
    """Seconds of processor time that a controller takes to start and to end."""
    folder = fresh(OUT / "work" / "cluster-one")
    shutil.copytree(APPS, folder)
    words = ["nothing.py", "-m", "--config-name", "caviar", "hydra/sweeper/executor=inline"]
    process = controller(folder, [*words, "hydra.sweeper.n_trials=1"])
    return ended(process, folder)["cpu_seconds"]


def tune(trials: int) -> dict:
    """The same function by Ray Tune, two at once."""
    begin = time.time()
    done = subprocess.run(
        [sys.executable, "-c", RAY_TUNE, str(trials)],
        cwd=fresh_folder(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {
            "executor": f"Ray Tune: {done.stderr.strip().splitlines()[-1]}",
            "seconds": 0,
            "ms": 0,
        }
    seconds = float(done.stdout.rpartition("SECONDS")[2])
    return {
        "executor": "Ray Tune",
        "trials": trials,
        "seconds": time.time() - begin,
        "ms": seconds / trials * 1e3,
    }


def fresh_folder() -> Path:
    """An empty folder to work in."""
    folder = fresh(OUT / "work" / "cluster-tune")
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
