"""The parts of `scripts/bench gpu` that train lanes in this process."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # last: its inspect.py is not Python's

OUT = Path(__file__).resolve().parents[3] / "outputs" / "bench" / "gpu"
EPOCHS = 10
"""Of a trial whose number an hour is told."""

NETWORKS = {
    "small MLP, 64-64-32-10": ["model.hidden=[64,32]"],
    "the same with dropout": ["model.hidden=[64,32]", "model.dropout=0.2"],
    "wide MLP, 64-1024-1024-10": ["model.hidden=[1024,1024]", "data.batch_size=256"],
    "CNN": ["model=cnn"],
}
LANES = {"cuda": (64, 512, 4096), "cpu": (4, 16)}


def accelerator(device: str) -> str:
    """What ``trainer.accelerator`` is to be."""
    return "auto" if device == "cuda" else "cpu"


def memory(device: str) -> dict[str, Any]:
    """Memory for half of the lanes: the stack is halved, and every trial ends well."""
    import torch

    from caviar.base.messages import Finished
    from caviar.engines.lanes.engine import Fused
    from caviar.engines.stacked.backend import ByTorch
    from project.recipe import recipe
    from project.train import main as task

    lanes = 256 if device == "cuda" else 8
    engine = Fused(task, recipe, lanes=lanes, compile=False)
    own = ByTorch.steps

    def hungry(self: Any, steps: Any) -> None:
        if self._tensors.lanes > lanes // 2:
            if device == "cpu":
                raise torch.OutOfMemoryError("as a GPU says it")
            whole, held = torch.cuda.mem_get_info()[1], torch.cuda.memory_reserved()
            torch.cuda.set_per_process_memory_fraction(held / whole)
            try:
                torch.empty(held + 2**20, dtype=torch.uint8, device="cuda")
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
        own(self, steps)

    ByTorch.steps = hungry  # type: ignore[method-assign]
    events: list[Any] = []
    engine.serve(_inbox(device, lanes), lambda *some: events.extend(some))
    ends = [event for event in events if isinstance(event, Finished)]
    found = {"lanes": lanes, "after": engine._kinds.most, "complete": len(ends)}
    print(json.dumps(found))
    if engine._kinds.most >= lanes or len(ends) != lanes:
        raise SystemExit("a trial was lost, or the lanes were not halved")
    return found


def steps(device: str) -> dict[str, Any]:
    """The table: a step by a Trainer and on lanes, by every way that there is; peak memory."""
    import torch

    from caviar.engines.experiment import NotFusibleError
    from caviar.engines.lanes.calibration import choose
    from caviar.engines.lanes.ways import calls

    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    rows = []
    print("| network | way | lanes | ms a lane's step | trials an hour | MiB at most |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, overrides in NETWORKS.items():
        row: dict[str, Any] = {"network": name}
        fewer, more = (_trainer_seconds([*overrides], device, epochs) for epochs in (1, 4))
        try:
            training = _training(overrides, device)
            called = calls(training)
            count = training.length.steps if called else training.course.steps
            row["ways"] = [
                ("a Trainer", 1, (more - fewer) / (3 * count), None),
                *(_called_ways if called else _ways)(training, device),
            ]
            row["auto"] = str(choose(training, None, device))
        except NotFusibleError as why:
            row["auto"], count = f"a Trainer: {why}", 22
            row["ways"] = [("a Trainer", 1, (more - fewer) / (3 * count), None)]
        for way, lanes, step, peak in row["ways"]:
            hour = 3600 / (step * count * EPOCHS)
            held = f"{peak / 2**20:,.0f}" if peak else ""
            print(
                f"| {name} | {way} | {lanes} | {step * 1e3:.4f} | {hour:,.0f} | {held} |",
                flush=True,
            )
        print(f"| | auto: {row['auto']} | | | | |", flush=True)
        rows.append(row)
    return {"rows": rows}


def _ways(training: Any, device: str) -> Iterator[tuple[str, int, float, int | None]]:
    import torch

    from caviar.base.errors import name_and_text
    from caviar.engines.gpu import out_of_memory
    from caviar.engines.lanes.backends import BACKENDS
    from caviar.engines.lanes.stack import Stack

    for backend, way in BACKENDS.values():
        for lanes in LANES[device]:
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            try:
                stack = Stack([training], lanes, device)
                why = stack.use(backend)
                if why is not None:
                    print(f"| | not {way}: {why} | | | | |", flush=True)
                    break
                for _ in range(lanes):
                    stack.admit(training)
                step = stack.rehearse() / lanes
            except Exception as error:  # one way's alone: the others are to be measured
                if not out_of_memory(error):
                    print(f"| | failed, {way}: {name_and_text(error)} | | | | |", flush=True)
                break
            peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
            yield f"lanes, {way}", lanes, step, peak


def _called_ways(training: Any, device: str) -> Iterator[tuple[str, int, float, int | None]]:
    import torch

    from caviar.engines.called.rehearsal import Rehearsal

    rehearsal = Rehearsal(training)
    rehearsal.check()
    ways = {"launched one by one": False, "by CUDA graphs": True}
    if device == "cpu":
        ways = {"by torch": False}
    for way, by_graph in ways.items():
        for lanes in (4, 16, 64) if device == "cuda" else (4,):
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            step = rehearsal.lane_step(lanes, by_graph)
            peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
            yield f"lanes that call it, {way}", lanes, step, peak


def _trainer_seconds(overrides: list[str], device: str, epochs: int) -> float:
    from caviar.runs.active import ActiveRun, activate
    from project.train import build, train

    folder = fresh("trainer")
    folder.mkdir(parents=True)
    config = _composed(
        [*overrides, f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={epochs}"],
        device,
        folder,
    )
    experiment = build(config)
    began = time.perf_counter()
    with activate(ActiveRun(folder)):
        train(config, experiment)
    return time.perf_counter() - began


def _training(overrides: list[str], device: str) -> Any:
    from omegaconf import OmegaConf

    from caviar.engines.lanes.ways import training_of
    from project.recipe import recipe

    plain: Any = OmegaConf.to_container(_composed(overrides, device, OUT), resolve=True)
    described: Any = recipe(plain)
    training = training_of(described)
    return training


def _composed(overrides: list[str], device: str, folder: Path, hydra: bool = False) -> Any:
    from hydra import compose, initialize_config_dir

    from caviar.base import hydra_versions
    from project.train import CONFIGS

    settings = [f"trainer.accelerator={accelerator(device)}", *overrides]
    settings.append("++trainer.enable_model_summary=false")
    if not hydra:
        settings += [f"dir='{folder}'", f"outputs='{folder}'"]
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        return compose("train", settings, return_hydra_config=hydra)


def _inbox(device: str, count: int) -> Any:
    import pickle

    from fused import Jobs
    from omegaconf import OmegaConf

    from caviar.base.messages import Base, Job

    folder = fresh("memory")
    config = _composed(["trainer.max_epochs=3", "outputs=none"], device, folder, hydra=True)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.runtime.output_dir, config.hydra.job.num, config.hydra.job.id = "none", 0, "0"
    base = pickle.dumps(config)
    return Jobs([
        Job(n, Base(0, None if n else base), {"optimizer.lr": 1e-3 * (1 + n / count), "seed": n}, [], {},
            str(folder / f"{n:04}"), "val/acc")
        for n in range(count)
    ])  # fmt: skip


def fresh(name: str) -> Path:
    """A folder that is not there yet."""
    folder = OUT / "work" / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder
