"""All that a first GPU is for, in ten minutes: tests, slots, memory, what lanes bring (or --device cpu)."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent / "apps"))
from gpu_lanes import EPOCHS, OUT, accelerator
from gpu_lanes import memory as memory_part
from gpu_lanes import steps as steps_part

ROOT = Path(__file__).resolve().parents[2]
DEVICES = ("cuda", "cpu")


def main() -> int:
    """Do what is asked for, each part in a process of its own; print what it says, and write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__)
    parser.add_argument("--device", choices=DEVICES, default="cuda", help="cpu: a rehearsal")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    parser.add_argument("--seconds", type=int, default=560, help="the end, whatever is left")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if options.part:
        found = PARTS[options.part][0](options.device)
        (OUT / f"{options.part}.json").write_text(json.dumps(found, indent=1) + "\n")
        return 0
    end, results = time.monotonic() + options.seconds, {}
    for name in options.only or PARTS:
        results[name] = _in_a_process(name, options.device, end)
    path = OUT / f"gpu-{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}.json"
    path.write_text(json.dumps({"device": options.device, **results}, indent=1) + "\n")
    failed = [name for name, one in results.items() if "error" in one]
    print(
        f"written to {path.relative_to(ROOT)}"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return 3 if failed else 0


def _in_a_process(name: str, device: str, end: float) -> dict[str, Any]:
    """A part's results, or what went wrong: a part that hangs or crashes takes no other with it."""
    limit = min(PARTS[name][1], end - time.monotonic())
    print(f"\n## {name}", flush=True)
    if limit < 5:
        return {"error": "no time left"}
    file = OUT / f"{name}.json"
    file.unlink(missing_ok=True)
    began = time.monotonic()
    command = [sys.executable, "-P", __file__, "--device", device, "--part", name]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        status = f"no end after {limit:.0f} s"
    seconds = time.monotonic() - began
    if status != 0 or not file.exists():
        print(f"failed: {status}", flush=True)
        return {"error": str(status), "seconds": seconds}
    return {**json.loads(file.read_text()), "seconds": seconds}


def machine(device: str) -> dict[str, Any]:
    """What there is."""
    import torch

    found: dict[str, Any] = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "cores": os.cpu_count(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    if device == "cuda":
        kind = torch.cuda.get_device_properties(0)
        found |= {
            "name": kind.name,
            "memory": kind.total_memory,
            "multiprocessors": kind.multi_processor_count,
            "capability": list(torch.cuda.get_device_capability()),
        }
    from caviar.executors.gpus import visible_gpus
    from caviar.executors.slots import plan

    found["gpus"] = visible_gpus()
    found["slots"] = [slot.label for slot in plan(None, None)]
    print(json.dumps(found))
    return found


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def tests(device: str) -> dict[str, Any]:
    """The tests that need a GPU; on a CPU they are skipped."""
    marked = [
        str(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "pytest.mark.gpu" in path.read_text()
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *marked], cwd=ROOT, capture_output=True, text=True)
    print(done.stdout[-3000:], done.stderr[-2000:], flush=True)
    if done.returncode:
        raise SystemExit(f"pytest: exit status {done.returncode}")
    return {"summary": done.stdout.strip().splitlines()[-1]}


def slots(device: str) -> dict[str, Any]:
    """Two workers on one GPU: both are seen on it, and their memory is given back."""
    share = 0.5 if device == "cuda" else 0
    before = _held(device)
    with _watched(device) as most:
        sweep(
            "slots", device, 4, "engine=solo", "trainer.max_epochs=3",
            f"hydra.sweeper.executor.gpus_per_trial={share}", "hydra.sweeper.executor.workers=2",
        )  # fmt: skip
    deadline = time.monotonic() + 15
    while (after := _held(device))["bytes"] > before[
        "bytes"
    ] + 2**26 and time.monotonic() < deadline:
        time.sleep(0.2)
    found = {"before": before, "most": most, "after": after}
    print(json.dumps(found))
    if after["bytes"] > before["bytes"] + 2**26:
        raise SystemExit("memory was not given back")
    if device == "cuda" and most["processes"] < before["processes"] + 2:
        raise SystemExit("two workers were never on the GPU together")
    return found


def sweeps(device: str) -> dict[str, Any]:
    """Trials an hour from the command to the last file, one process a trial beside a sweep by `auto`."""
    own = ["model.hidden=[64,32]", f"trainer.max_epochs={EPOCHS}"]
    began = time.perf_counter()
    _project("name=alone", f"trainer.accelerator={accelerator(device)}", *own)
    alone = time.perf_counter() - began
    found = {"one process a trial": 3600 / alone}
    counts = {"solo": 8, "auto": 1024} if device == "cuda" else {"solo": 4, "auto": 64}
    for engine, trials in counts.items():
        seconds = sweep(engine, device, trials, f"engine={engine}", *own)
        found[engine] = trials / seconds * 3600
    for name, hour in found.items():
        print(f"{name}: {hour:,.0f} trials an hour", flush=True)
    return found


PARTS: dict[str, tuple[Callable[[str], dict[str, Any]], float]] = {
    "machine": (machine, 60),
    "tests": (tests, 150),
    "slots": (slots, 120),
    "memory": (memory_part, 90),
    "steps": (steps_part, 240),
    "sweeps": (sweeps, 200),
}
"""What is done, in this order, and the seconds that each part may take at most."""


def sweep(name: str, device: str, trials: int, *overrides: str) -> float:
    """The seconds of a sweep by a command of its own; all its trials must be complete."""
    began = time.perf_counter()
    shutil.rmtree(OUT / "work" / "sweeps" / name, ignore_errors=True)
    hidden = [] if device == "cuda" else ["hydra.sweeper.executor.gpus_per_trial=0"]
    _project("-m", f"name={name}", f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.report=false",
             f"trainer.accelerator={accelerator(device)}", *hidden, *overrides)  # fmt: skip
    return time.perf_counter() - began


def _project(*words: str) -> None:
    environment = {**os.environ, "CAVIAR_OUTPUTS": str(OUT / "work")}
    command = [sys.executable, "-P", "-m", "project.train", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}\nfailed: {' '.join(words)}")
    for line in re.findall(r"^.*not on lanes.*$", done.stdout + done.stderr, re.MULTILINE):
        print(line, flush=True)


def _held(device: str) -> dict[str, int]:
    """Bytes of the first card that are taken, and how many processes compute on it; of a CPU nothing."""
    if device == "cpu":
        return {"bytes": 0, "processes": 0}
    import pynvml

    pynvml.nvmlInit()
    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(card)
        return {
            "bytes": int(pynvml.nvmlDeviceGetMemoryInfo(card).used),
            "processes": len(processes),
        }
    finally:
        pynvml.nvmlShutdown()


@contextmanager
def _watched(device: str) -> Iterator[dict[str, int]]:
    """The most that `_held` says while the block runs."""
    most, over = _held(device), threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for name, value in _held(device).items():
                most[name] = max(most[name], value)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
