"""Fused lanes beside solo, and beside hydra-optuna-sweeper 1.3.0: whole sweeps, steps, and their parts."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))  # last: its inspect.py is not Python's
from sweep import APPS, NETWORK, OUT, ROOT, SPACE, fresh, machine, peer_python

WORKERS = 2


def main() -> None:
    """Run what the command line asks for, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench fused", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trials and rows")
    parser.add_argument("--only", choices=["trials", "steps", "parts", "asha"], action="append")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    measures = {"trials": trials, "steps": steps, "parts": parts, "asha": asha}
    for name, measure in measures.items():
        if name in (options.only or measures):
            found[name] = measure(options.quick)
    print(f"\n{machine()}")
    now = datetime.now(UTC)
    path = OUT / f"fused-{now:%Y-%m-%d_%H-%M-%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine(), "quick": options.quick, "load": os.getloadavg(), **found}
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}")


def trials(quick: bool) -> list[dict[str, Any]]:
    """Whole sweeps, from the command to the last file; a side measured twice gives its marginal cost."""
    small = (8, 24) if quick else (64, 256)
    large = (256, 1024) if quick else (256, 1024, 10240)
    rows = []
    for side, counts in (("peer", small), ("solo", small), ("fused", large)):
        for count in counts:
            rows.append(sweep(side, count))
            print(f"  {side} {count}: {rows[-1]['seconds']:.1f} s", file=sys.stderr)
    for side in ("peer", "solo"):
        few, many = (row for row in rows if row["side"] == side)
        each = (many["seconds"] - few["seconds"]) / (many["trials"] - few["trials"])
        for count in large:
            if count > many["trials"]:
                seconds = many["seconds"] + each * (count - many["trials"])
                rows.append({**many, "trials": count, "seconds": seconds, "extrapolated": True})
    print("| trials | side | seconds | trials an hour | x the peer | MiB, largest process |")
    print("|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: row["trials"]):
        peer = [r for r in rows if r["side"] == "peer" and r["trials"] == row["trials"]]
        times = f"{peer[0]['seconds'] / row['seconds']:.1f}" if peer else ""
        mark = " (extrapolated)" if row.get("extrapolated") else ""
        print(
            f"| {row['trials']:,} | {row['side']}{mark} | {row['seconds']:.1f} "
            f"| {row['trials'] / row['seconds'] * 3600:,.0f} | {times} | {row['mib']:.0f} |"
        )
    return rows


def asha(quick: bool) -> dict[str, Any]:
    """Trials of 200 epochs that ASHA prunes: how busy the lanes are while there are trials to come."""
    count = 512 if quick else 4096
    row = sweep("fused", count, "pruner=asha", "trainer.max_epochs=200")
    folder = OUT / "work/fused-fused/sweeps/s"
    found = re.findall(
        r"(\d+) of (\d+) lane-ticks busy, (\d+) of (\d+) until",
        (folder / "workers.txt").read_text(),
    )
    busy, lanes, busy_before, lanes_before = (
        sum(map(int, column)) for column in zip(*found, strict=True)
    )
    row |= {"lane_ticks": lanes, "busy": busy / lanes, "busy_before": busy_before / lanes_before}
    print(
        f"\n{count:,} trials of up to 200 epochs with ASHA: {row['seconds']:.0f} s, {busy:,} epochs"
    )
    print(f"lanes busy until the last trials: {row['busy_before']:.1%}; in all: {row['busy']:.1%}")
    return row


def sweep(side: str, count: int, *overrides: str) -> dict[str, Any]:
    """Run one sweep in a fresh folder."""
    folder = fresh(OUT / "work" / f"fused-{side}")
    if side == "peer":
        shutil.copytree(APPS, folder)
        command = [peer_python("1.3.0"), "digits.py", "-m", "--config-name=peer_mlp"]
        command += [f"hydra.sweeper.n_jobs={WORKERS}", f"hydra.launcher.n_jobs={WORKERS}"]
    else:
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "project.train", "-m", f"engine={side}", "space=none"]
        command += [
            "name=s",
            f"hydra.sweeper.executor.workers={WORKERS}",
            *NETWORK,
            *SPACE,
            *overrides,
        ]
    env = {**os.environ, "CAVIAR_OUTPUTS": str(folder)}
    start = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        done = subprocess.run(
            [*command, f"hydra.sweeper.n_trials={count}"],
            cwd=folder,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{(folder / 'out.txt').read_text()[-3000:]}\n{side} failed")
    mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"side": side, "trials": count, "seconds": seconds, "mib": mib}


def steps(quick: bool) -> list[dict[str, Any]]:
    """A step by solo's Trainer and on lanes, over widths and batch sizes; and what auto chooses."""
    import torch

    torch.set_num_threads(1)
    # What auto has once measured it remembers, be it of a busy machine: here it is to measure now.
    cache = OUT / "work" / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.environ["CAVIAR_CACHE"] = str(cache)
    peak = matmul_peak()
    widths = (32, 128, 512) if quick else (32, 64, 128, 256, 512, 1024)
    batches = (16, 256) if quick else (16, 32, 128, 256, 512)
    rows = [step_row(["model.hidden=[64,32]"], 64, peak, "64-64-32-10")]
    rows += [step_row([f"model.width={w}"], 64, peak, f"width {w}") for w in widths]
    rows += [step_row([f"data.batch_size={b}"], b, peak, f"batch {b}") for b in batches]
    print(f"\nms a step, on one thread, whose matmul peak is {peak / 1e9:.0f} GFLOP/s")
    print("| network | solo | a lane, torch | a lane, C++ | of peak | auto | of the best |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['network']} | {row['solo'] * 1e3:.3f} | {row['torch'] * 1e3:.3f} "
            f"| {row['loop'] * 1e3:.3f} | {row['of_peak']:.0%} | {row['auto']} "
            f"| {row['of_better']:.2f} |"
        )
    return rows


def step_row(overrides: list[str], batch: int, peak: float, name: str) -> dict[str, Any]:
    """Measure one network: solo, lanes of several numbers, and the choice of ``auto``."""
    from caviar.engines.lanes.calibration import choose

    epochs = 3
    fewer, more = (solo_seconds(overrides, n * epochs) for n in (1, 2))
    training = make_training(overrides)
    solo = max(more - fewer, 1e-9) / (epochs * training.course.steps)
    by_torch, by_loop = lane_seconds(training, solo, False), lane_seconds(training, solo, True)
    chosen = choose(training, None, "cpu")
    lane = min(by_torch, by_loop)
    by_auto = solo if not chosen.lanes else by_loop if chosen.by == "native" else by_torch
    numbers = sum(p.numel() for p in training.weights.values() if p.ndim > 1)
    first = next(p.numel() for p in training.weights.values() if p.ndim > 1)
    # Forward and the weights' gradients for all layers, the inputs' gradients for all but the first.
    flops = 2 * batch * (3 * numbers - first)
    return {
        "network": name,
        "solo": solo,
        "torch": by_torch,
        "loop": by_loop,
        "of_peak": flops / lane / peak,
        "auto": "solo" if not chosen.lanes else "C++" if chosen.by == "native" else "torch",
        "of_better": min(solo, lane) / by_auto,
    }


def lane_seconds(training: Any, solo: float, native: bool) -> float:
    """A step's seconds a lane, on as many lanes as make it the fastest."""
    from caviar.engines.lanes.stack import Stack
    from caviar.engines.native.loop import Native

    found = float("inf")
    for lanes in (4, 32) if native else (4, 16, 64):
        stack = Stack([training], lanes)
        if native and (why := stack.use(Native)):
            raise SystemExit(f"no loop in C++: {why}")
        for _ in range(lanes):
            stack.admit(training)
        found = min(found, min(stack.rehearse() for _ in range(3)) / lanes)
        if found > 2 * solo:
            break
    return found


def solo_seconds(overrides: list[str], epochs: int) -> float:
    """How long solo's Trainer takes for some epochs, start included; validation only at the end."""
    from caviar.runs.active import ActiveRun, activate
    from project.train import build, train

    folder = fresh(OUT / "work" / "fused-step")
    folder.mkdir(parents=True)
    config = composed(
        [*overrides, f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={epochs}"],
        folder,
    )
    times = []
    for _ in range(2):
        experiment = build(config)
        start = time.perf_counter()
        with activate(ActiveRun(folder)):
            train(config, experiment)
        times.append(time.perf_counter() - start)
    return min(times)


def composed(overrides: list[str], folder: Path) -> Any:
    """The project's config."""
    from hydra import compose, initialize_config_dir

    from project.train import CONFIGS

    settings = ["trainer.accelerator=cpu", f"dir='{folder}'", f"outputs='{folder}'", *overrides]
    from caviar.base import hydra_versions

    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        return compose("train", settings)


def make_training(overrides: list[str]) -> Any:
    """A training for lanes."""
    from omegaconf import OmegaConf

    from caviar.engines.lanes.training import Training
    from project.recipe import recipe

    config = composed(overrides, OUT)
    return Training(recipe(OmegaConf.to_container(config, resolve=True)))  # type: ignore[arg-type]


def matmul_peak() -> float:
    """The most floating-point operations a second that a square matmul reaches on this thread."""
    import torch

    a = torch.randn(768, 768)
    times = []
    for _ in range(100):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 768**3 / min(times)


def parts(quick: bool) -> dict[str, float]:
    """What one worker's processor time goes into, its lanes filled from memory."""
    import pickle

    import torch
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from caviar.base import hydra_versions
    from caviar.base.messages import Base, Job
    from caviar.engines.lanes import configs, engine, stack
    from caviar.engines.lanes import jobs as jobs_of
    from caviar.engines.lanes import run_folder as files
    from project.recipe import recipe
    from project.train import CONFIGS
    from project.train import main as task

    torch.set_num_threads(1)
    count = 128 if quick else 512
    folder = fresh(OUT / "work" / "fused-parts")
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        config = compose("train", [*NETWORK, "outputs=none"], return_hydra_config=True)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.runtime.output_dir, config.hydra.job.num, config.hydra.job.id = "none", 0, "0"
    base = pickle.dumps(config)
    jobs = [
        Job(n, Base(0, None if n else base), {"optimizer.lr": 1e-3 * (1 + n / count), "seed": n},
            [], {}, str(folder / f"{n:04}"), "val/acc")
        for n in range(count)
    ]  # fmt: skip
    times: dict[str, float] = {}
    watched: list[tuple[str, Any, str]] = [
        ("steps", stack.Stack, "_steps"),
        ("metrics", stack.Stack, "_evaluate"),
        ("configs", configs.PlainConfigs, "__call__"),
        ("trainings made", jobs_of, "training_of"),
        ("files, beside", files.RunFolder, "begin"),
        ("files, beside", files.RunFolder, "rows"),
        ("files, beside", files.RunFolder, "end"),
    ]
    with timed(watched, times):
        inbox = Jobs(jobs)
        start = time.process_time()
        engine.Fused(task, recipe).serve(inbox, lambda *events: None)
        times["all"] = time.process_time() - start
    compiled = compiling()
    print(f"\none worker, {count} trials, ms of the processor's time a trial:")
    for name, seconds in times.items():
        print(f"  {name:14} {seconds / count * 1e3:7.2f}")
    print(f"compiling the loop in C++, once on a machine: {compiled:.1f} s")
    return {**times, "compiling": compiled}


def compiling() -> float:
    """Seconds that compiling the loop in C++ takes, once on a machine."""
    from caviar.engines.native.build import build

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build(Path(folder))
        return time.perf_counter() - start


class Jobs:
    """An inbox whose jobs are all there from the start."""

    def __init__(self, jobs: list[Any]) -> None:
        self.jobs = jobs
        self.interrupted = False

    @property
    def closed(self) -> bool:
        return not self.jobs

    def take(self, timeout: float | None) -> Any:
        return self.jobs.pop(0) if self.jobs else None

    def pruned(self, number: int) -> bool:
        return False

    def stopped(self, number: int) -> None:
        return None


@contextmanager
def timed(watched: list[tuple[str, Any, str]], times: dict[str, float]) -> Iterator[None]:
    """Add up the processor's time that the named functions take."""
    originals = [(owner, name, getattr(owner, name)) for _, owner, name in watched]

    def watch(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed_one(*arguments: Any, **keywords: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **keywords)
            finally:
                times[part] = times.get(part, 0.0) + time.thread_time() - start

        return timed_one

    for (part, owner, name), (_, _, function) in zip(watched, originals, strict=True):
        setattr(owner, name, watch(part, function))
    try:
        yield
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


if __name__ == "__main__":
    main()
