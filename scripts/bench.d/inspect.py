"""Listing 10,000 runs and reporting on 1,000, beside MLflow's search_runs on the same runs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "outputs" / "bench"
CAVIAR = Path(sysconfig.get_path("scripts")) / "caviar"
PEER = ["mlflow-skinny==3.17.2", "sqlalchemy>=2,<2.1", "alembic", "pandas<3", "numpy"]
WHERE = "value > 0.05 and state == 'COMPLETE'"

LONG = 30.0
"""Seconds after which a measurement is not repeated any more."""

PEER_LOG = """
import json, sys
import mlflow
from mlflow.entities import Metric, Param
client = mlflow.MlflowClient()
if len(sys.argv) == 1:
    client.create_experiment("bench")
    raise SystemExit
experiment = client.get_experiment_by_name("bench").experiment_id
for line in open(sys.argv[1]):
    held = json.loads(line)
    run = client.create_run(experiment, run_name=held["run"])
    metrics = [Metric(k, v, 0, 0) for k, v in held["metrics"].items() if v is not None]
    client.log_batch(run.info.run_id, metrics, [Param(k, str(v)) for k, v in held["params"].items()])
    client.set_terminated(run.info.run_id, "FINISHED" if held["state"] == "COMPLETE" else "FAILED")
"""

PEER_READ = """
import sys
import mlflow
what, count = sys.argv[1], int(sys.argv[2])
options = {"all": {}, "best": {"order_by": ["metrics.value DESC"]},
           "where": {"filter_string": "metrics.value > 0.05 and attributes.status = 'FINISHED'"}}[what]
found = mlflow.search_runs(
    experiment_names=["bench"], max_results=10 if what == "best" else count, **options
)
print(len(found))
"""


@dataclass
class Measured:
    """One thing that was done, as a process of its own, several times.

    Attributes:
        seconds: median wall time, the process's start included.
        cpu: median processor time.
        target: the most that it may take, if that is said anywhere.
    """

    what: str
    side: str
    runs: int
    seconds: float
    cpu: float
    target: float | None = None


def main() -> None:
    """Run what the command line asks for, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench inspect", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="how many runs to list")
    parser.add_argument("--report", type=int, default=1_000, help="how many trials to report on")
    parser.add_argument("--times", type=int, default=3, help="how often; the median counts")
    parser.add_argument("--no-peer", action="store_true", help="caviar alone")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    outputs = made_up(options.runs, epochs=1)
    found = listing(outputs, options.runs, options.times)
    if not options.no_peer:
        found += peer(outputs, options.runs, options.times)
    if find_spec("caviar.commands.report") is not None:
        found += reporting(made_up(options.report, epochs=50), options.report, options.times)
    print(table(found))
    about = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "measured": [asdict(one) for one in found],
    }
    (OUT / "inspect.json").write_text(json.dumps(about, indent=1) + "\n")


def made_up(runs: int, epochs: int) -> Path:
    """An outputs folder with so many runs, in sweeps of 1,000; kept from one time to the next."""
    folder = OUT / f"inspect-{runs}x{epochs}"
    if (folder / "whole").exists():
        return folder
    print(f"making {runs} run folders", file=sys.stderr)
    sys.path.insert(0, str(ROOT))
    from tests.made_up import make_sweep

    shutil.rmtree(folder, ignore_errors=True)
    fsync, os.fsync = os.fsync, lambda _: None  # these may be lost
    for first in range(0, runs, 1000):
        count = min(1000, runs - first)
        odd = {i: ("PRUNED", "FAIL")[i % 2] for i in range(0, count, 10)}
        make_sweep(
            folder / "sweeps" / f"sweep-{first // 1000}",
            n_trials=count,
            epochs=epochs,
            seed=first,
            states=odd,
            checkpoints=False,
        )
    os.fsync = fsync
    (folder / "whole").touch()
    return folder


def listing(outputs: Path, runs: int, times: int) -> list[Measured]:
    """``caviar runs list`` with and without its index."""
    env = {"CAVIAR_OUTPUTS": str(outputs)}

    def forget() -> None:
        for file in outputs.glob(".index*"):
            file.unlink()

    def caviar(what: str, *arguments: str, target: float | None, before=None) -> Measured:
        command = [str(CAVIAR), *arguments]
        return measure(what, "caviar", runs, command, times, env, target, before)

    listed = ("runs", "list")
    return [
        caviar("start (--help)", "--help", target=0.6),
        caviar("list all, no index", *listed, target=None, before=forget),
        caviar("list all", *listed, target=2.0),
        caviar("list all, --json", *listed, "--json", target=2.0),
        caviar("best 10", *listed, "--sort", "best", "--limit", "10", target=2.0),
        caviar("filter", *listed, "--where", WHERE, target=2.0),
    ]


def peer(outputs: Path, runs: int, times: int) -> list[Measured]:
    """MLflow's ``search_runs`` on the same runs, in its own store of the kind that it advises."""
    python = peer_python()
    store = OUT / f"mlflow-{runs}.db"
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    if not store.with_suffix(".whole").exists():
        print(f"logging {runs} runs to MLflow", file=sys.stderr)
        began = time.perf_counter()
        log_to_peer(python, _as_logged(outputs), env, store)
        print(f"that took {time.perf_counter() - began:.0f} s", file=sys.stderr)
        store.with_suffix(".whole").touch()
    names = {"all": "list all", "best": "best 10", "where": "filter"}
    start = [python, "-c", "import mlflow"]
    return [
        measure("start (import)", "mlflow", runs, start, times, env, None, None),
        *(
            measure(
                name,
                "mlflow",
                runs,
                [python, "-c", PEER_READ, what, str(runs)],
                times,
                env,
                None,
                None,
            )
            for what, name in names.items()
        ),
    ]


def log_to_peer(python: str, runs: list[str], env: dict[str, str], store: Path) -> None:
    """Log runs by MLflow's own client: a transaction each for its start, its numbers and its end.

    That is 20 ms a run. A process a core logs its share of them into one SQLite file, in memory where
    that can be had, as MLflow waits for the disk three times a run; then the file moves to its place.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        env = {**os.environ, **env, "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db"}

        def start(*share: str) -> subprocess.Popen[str]:
            command = [python, "-c", PEER_LOG, *share]
            return subprocess.Popen(
                command, env=env, cwd=scratch, stderr=subprocess.PIPE, text=True
            )

        def end(process: subprocess.Popen[str]) -> None:
            told = process.communicate()[1]
            if process.returncode:
                raise SystemExit(f"{told[-2000:]}\nMLflow did not log; --no-peer does without")

        end(start())
        cores = os.cpu_count() or 1
        shares = [Path(scratch) / f"{core}.jsonl" for core in range(cores)]
        for core, share in enumerate(shares):
            share.write_text("\n".join(runs[core::cores]))
        for process in [start(str(share)) for share in shares]:
            end(process)
        shutil.move(Path(scratch) / "mlflow.db", store)


def _as_logged(outputs: Path) -> list[str]:
    from caviar.reading.index import all_runs

    return [
        json.dumps(
            {
                "run": row.facts["run"],
                "state": row.facts["state"],
                "params": row.params,
                "metrics": {k: row.facts[k] for k in ("value", "seconds", "best_epoch")},
            }
        )
        for row in all_runs(outputs).rows
    ]


def peer_python() -> str:
    """Make MLflow's own venv, once; return its Python."""
    venv = OUT / "mlflow"
    python, stamp = venv / "bin" / "python", venv / "whole"
    if not stamp.exists() or stamp.read_text().split("\n") != PEER:
        print("installing MLflow into a venv of its own", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *PEER], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{done.stderr}\nMLflow cannot be installed; --no-peer does without")
        stamp.write_text("\n".join(PEER))
    return str(python)


def reporting(outputs: Path, runs: int, times: int) -> list[Measured]:
    """``caviar report`` of a sweep of so many trials with 50 epochs each."""
    env = {"CAVIAR_OUTPUTS": str(outputs)}
    command = [str(CAVIAR), "report", "sweep-0"]
    found = measure(
        "report, 50 epochs each", "caviar", runs, command, min(times, 3), env, None, None
    )
    size = (outputs / "sweeps" / "sweep-0" / "report.html").stat().st_size
    print(f"report.html of {runs} trials: {size / 2**20:.1f} MiB (at most 8)", file=sys.stderr)
    return [found]


def measure(what, side, runs, command, times, env, target, before) -> Measured:
    """Run a command so many times, and once more before that to warm the disk's cache; what is long is
    run twice in all."""
    walls, cpus = [], []
    first = time.perf_counter()
    for repeat in range(times + 1):
        if repeat > 1 and time.perf_counter() - first > LONG:
            break
        if before is not None:
            before()
        used = os.times()
        began = time.perf_counter()
        subprocess.run(
            command, env={**os.environ, **env}, cwd=OUT, check=True, stdout=subprocess.DEVNULL
        )
        wall, now = time.perf_counter() - began, os.times()
        if repeat:
            walls.append(wall)
            cpus.append(
                now.children_user + now.children_system - used.children_user - used.children_system
            )
    found = Measured(what, side, runs, statistics.median(walls), statistics.median(cpus), target)
    print(f"  {what}, {side}: {found.seconds:.2f} s", file=sys.stderr)
    return found


def table(found: list[Measured]) -> str:
    """What was measured, as a Markdown table."""
    lines = ["| what | side | runs | seconds | cpu s | at most |", "|---|---|--:|--:|--:|--:|"]
    for one in found:
        most = "" if one.target is None else f"{one.target:g}"
        lines.append(
            f"| {one.what} | {one.side} | {one.runs} | {one.seconds:.2f} | {one.cpu:.2f} | {most} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
