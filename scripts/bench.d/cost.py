"""What a trial costs the controller: ms and memory at 1,000 and 10,000 do-nothing trials, and the start."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))  # last: its inspect.py is not Python's
from sweep import APPS, OUT, fresh

# Runs the app as `python app.py -m` would, and writes down what its process took. The workers'
# time is not in it: the controller's own CPU time is, and its memory at its highest.
CONTROLLER = """
import json, resource, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    facts = {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "mib": used.ru_maxrss * unit / 2**20,
        "torch": "torch" in sys.modules,
    }
    print("FACTS", json.dumps(facts))
"""


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 and 2,000 trials")
    parser.add_argument("--executor", default="local", choices=["local", "inline"])
    options = parser.parse_args()
    sizes = [200, 2000] if options.quick else [1000, 10000]
    found = [measure(n, options.executor) for n in sizes]
    print("| trials | seconds | ms a trial (wall) | ms a trial (controller's CPU) | MiB |")
    print("|---|---|---|---|---|")
    for f in found:
        print(
            f"| {f['trials']:,} | {f['seconds']:.1f} | {f['wall_ms']:.2f} | {f['cpu_ms']:.2f} "
            f"| {f['mib']:.0f} |"
        )
    few, many = found
    print(f"\ngrowth of CPU a trial: {many['cpu_ms'] / few['cpu_ms']:.2f}x (target: at most 1.5x)")
    print(f"CPU a trial: {many['cpu_ms']:.2f} ms (target: at most 6 ms)")
    print(f"memory: {many['mib']:.0f} MiB (target: at most 300 MiB)")
    starts = ", ".join(f"{f['start']:.2f} s" for f in found)
    print(f"process start to first trial: {starts} (target: at most 1 s)")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cost.json").write_text(json.dumps(found, indent=1) + "\n")


def measure(trials: int, executor: str) -> dict:
    """Run one sweep of the do-nothing app."""
    folder = fresh(OUT / "work" / f"cost-{executor}")
    shutil.copytree(APPS, folder)
    begin = time.time()
    done = subprocess.run(
        [
            *(sys.executable, "-c", CONTROLLER, "nothing.py", "-m", "--config-name", "caviar"),
            f"hydra/sweeper/executor={executor}",
            f"hydra.sweeper.n_trials={trials}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    seconds = time.time() - begin
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    facts = json.loads(done.stdout.rpartition("FACTS")[2])
    assert not facts["torch"]
    first = json.loads((folder / "sweep/trials/0000/result.json").read_text())["started"]
    return {
        "trials": trials,
        "seconds": seconds,
        "start": datetime.fromisoformat(first).timestamp() - begin,
        "wall_ms": seconds / trials * 1e3,
        "cpu_ms": facts["cpu_seconds"] / trials * 1e3,
        "mib": facts["mib"],
    }


if __name__ == "__main__":
    main()
