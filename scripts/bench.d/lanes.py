"""Lanes for whatever is written: a step by each way, and whole sweeps by solo and by auto."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))  # last: its inspect.py is not Python's
from fused import composed, fresh
from sweep import APPS, OUT, ROOT, machine

sys.path.append(str(APPS))

BATCHES = 22
"""Of an epoch: 1,437 digits, 64 a batch."""

OWN = {
    "small CNN": ("Cnn", {"width": 8}, "pictures"),
    "CNN": ("Cnn", {"width": 32}, "pictures"),
    "embedding, LayerNorm": ("Words", {}, "tokens"),
    "transformer": ("Transformer", {}, "rows"),
    "regression, Huber": ("Regression", {}, "vectors"),
    "MLP, own loss": ("OwnLoss", {}, "vectors"),
}
"""Name -> a class of apps/networks.py, its settings, and the kind of its data."""

SHIPPED = {
    "MLP as it ships": ["model.hidden=[64,32]", "model.dropout=0.1"],
    "MLP, LayerNorm": [f"hydra.searchpath=[file://{APPS / 'configs'}]", "model=bench_norms"],
}
"""Name -> overrides of the project's own training, which hand-stacked layers know, and C++ the first."""

SWEEPS = {
    "small CNN": ("cnn", "pictures", False, 3.0),
    "CNN": ("wide_cnn", "pictures", False, 3.0),
    "transformer": ("transformer", "rows", False, 3.0),
    "regression, Huber": ("regression", "vectors", True, 3.0),
    "MLP, own loss": ("ownloss", "vectors", False, 8.0),
}
"""Name -> its model's config, its data, and how many times the trials an hour lanes are to bring."""

QUICKLY_COMPILED = ("MLP as it ships", "regression, Huber")
"""Those that a short run compiles, too: others take up to two minutes."""

WAYS = ("trainer", "vmap 16", "vmap 64", "tape 16", "tape 64", "step 64", "compiled 64", "stacked 64",
        "native 32")  # fmt: skip
"""What is measured: of lanes that call their module, ``vmap`` calls it in each step, ``tape`` where a sweep
does; ``step`` is the bare vmapped step, and ``compiled`` the same by torch.compile."""

LANES = tuple(way for way in WAYS if way.startswith(("vmap", "tape")))


def main() -> None:
    """Run what the command line asks for, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench lanes", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="some minutes: fewer trials and epochs"
    )
    parser.add_argument("--only", choices=["steps", "sweeps"], action="append")
    parser.add_argument("--network", choices=SWEEPS, help="sweeps of this one alone")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(*options.child, short=options.short)))
        return
    chosen = [options.network] if options.network else [*SWEEPS]
    measures = {"steps": steps, "sweeps": partial(sweeps, networks=chosen)}
    found = {n: m(options.short) for n, m in measures.items() if n in (options.only or measures)}
    print(f"\n{machine()}")
    path = OUT / f"lanes-{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine(), "short": options.short, "load": os.getloadavg(), **found}
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}")


def steps(short: bool) -> list[dict[str, Any]]:
    """A lane-step of each network by each way, in a process of its own each."""
    rows: list[dict[str, Any]] = []
    for network in (*SHIPPED, *OWN):
        row: dict[str, Any] = {"network": network}
        for way in WAYS:
            if network not in SHIPPED and way in ("stacked 64", "native 32"):
                continue
            if short and way == "compiled 64" and network not in QUICKLY_COMPILED:
                continue
            if way == "native 32" and network != "MLP as it ships":
                continue
            words = [sys.executable, "-P", __file__, "--child", network, way]
            done = subprocess.run(
                words + ["--short"] * short,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            last = (done.stdout.strip().splitlines() or [""])[-1]
            row[way] = json.loads(last) if done.returncode == 0 else {"error": done.stderr[-400:]}
            print(f"  {network}, {way}: {row[way]}", file=sys.stderr)
        rows.append(row)
    print("\nms a lane-step (start-up, s; MiB beyond the imports), on one thread")
    print(f"| network | {' | '.join(WAYS)} | lanes / trainer | compiled / step |")
    print("|---" * (len(WAYS) + 3) + "|")
    for row in rows:
        best = min(_ms(row, way) for way in LANES)
        gain, faster = _ms(row, "trainer") / best, _ms(row, "step 64") / _ms(row, "compiled 64")
        cells = [_cell(row.get(way)) for way in WAYS]
        print(f"| {row['network']} | {' | '.join(cells)} | {gain:.1f}x | {faster:.2f}x |")
    return rows


def _ms(row: dict[str, Any], way: str) -> float:
    return row.get(way, {}).get("ms", float("nan"))


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if "error" in found:
        return "failed"
    return f"{found['ms']:.3f} ({found['start']:.1f}; {found['mib']:.0f})"


def measured(network: str, way: str, short: bool) -> dict[str, float]:
    """A way's lane-step in ms, the seconds before its first epoch is as fast as the others, and MiB."""
    import torch

    torch.set_num_threads(1)
    import lightning.pytorch  # noqa: F401 - not a part of what is measured
    import torch._dynamo

    kind, _, count = way.partition(" ")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    epoch, share = {
        "trainer": _by_trainer, "vmap": _by_vmap, "tape": _by_vmap, "step": _by_step,
        "compiled": _by_step, "stacked": _by_stack, "native": _by_stack,
    }[kind](network, kind, int(count or 1))  # fmt: skip
    times = []
    for number in range(3 if short else 6):
        start = time.perf_counter()
        told = epoch()
        times.append(told if kind == "trainer" else time.perf_counter() - start)
        if not number:
            first = time.perf_counter() - began
    least = min(times[1:])
    mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # A Trainer's first time is of twelve epochs.
    start = first - (1.2 if kind == "trainer" else 1) * least
    return {"ms": least / share * 1e3, "start": start, "mib": mib}


Epoch = tuple[Callable[[], Any], int]
"""What goes through epochs, and how many lane-steps each is."""


def _experiment(network: str, seed: int, epochs: int) -> Any:
    from omegaconf import OmegaConf

    from caviar.base.security import allow
    from caviar.engines.experiment import Experiment
    from project.train import build

    if network in SHIPPED:
        allow(["networks."])
        config = OmegaConf.create(_plain(network))
        config.seed, config.trainer.max_epochs = seed, epochs
        return build(config)
    import networks
    import torch

    kind, settings, data = OWN[network]
    torch.manual_seed(seed)
    module = getattr(networks, kind)(lr=1e-3 * (1 + seed / 99), **settings)
    of = networks.Digits(data, number=kind == "Regression")
    trainer = {"max_epochs": epochs, "accelerator": "cpu", "log_every_n_steps": 0}
    return Experiment(module, of, trainer, "val/loss", "minimize", seed)


@cache
def _plain(network: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(composed(SHIPPED[network], OUT / "work/lanes"), resolve=True)


def _by_trainer(network: str, kind: str, lanes: int) -> Epoch:
    from lightning.pytorch import Trainer

    from caviar.lightning.quiet import quiet

    def epochs(count: int) -> float:
        one = _experiment(network, 0, count)
        ours = {
            "max_epochs": count, "num_sanity_val_steps": 0, "logger": False,
            "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False,
        }  # fmt: skip
        start = time.perf_counter()
        with quiet():
            Trainer(**{**one.trainer, **ours}).fit(one.module, datamodule=one.data)
        return time.perf_counter() - start

    return lambda: epochs(11) - epochs(1), BATCHES * 10


def _by_vmap(network: str, kind: str, lanes: int) -> Epoch:
    from caviar.engines.called.graph import STEPS
    from caviar.engines.called.stack import CalledStack
    from caviar.engines.called.training import CalledTraining
    from caviar.engines.experiment import Called

    def training(seed: int) -> CalledTraining:
        one = _experiment(network, seed, 99)
        return CalledTraining(
            Called(lambda: one, metric="val/loss", direction="minimize", seed=seed)
        )

    trainings = [training(seed) for seed in range(lanes)]
    stack = CalledStack(trainings, lanes)
    for one in trainings:
        stack.admit(one)
    if kind == "vmap":
        stack._template.launched = dict.fromkeys(STEPS, "not asked for")
    return stack.tick, BATCHES * lanes


def _by_stack(network: str, kind: str, lanes: int) -> Epoch:
    from caviar.base.security import allow
    from caviar.engines.lanes.stack import Stack
    from caviar.engines.lanes.training import Training
    from caviar.engines.native.loop import Native
    from project.recipe import recipe

    allow(["networks."])
    plain = _plain(network)
    plain["trainer"]["max_epochs"] = 99
    trainings = [Training(recipe({**plain, "seed": seed})) for seed in range(lanes)]  # type: ignore[arg-type]
    stack = Stack(trainings, lanes)
    if kind == "native" and (why := stack.use(Native)):
        raise SystemExit(f"no loop in C++: {why}")
    for one in trainings:
        stack.admit(one)
    return stack.tick, trainings[0].course.steps * lanes


def _by_step(network: str, kind: str, lanes: int) -> Epoch:
    """The bare step: the loss by vmap, its gradients and a step of SGD; compiled, or not."""
    import torch
    from torch.func import functional_call, stack_module_state

    ones = [_experiment(network, seed, 1) for seed in range(lanes)]
    modules = [_loss_class()(one.module) for one in ones]
    for module in modules:
        if hasattr(module.module, "metrics"):
            del module.module.metrics  # which are no part of the loss
    parameters, buffers = stack_module_state(modules)  # type: ignore[arg-type]
    data = ones[0].data
    data.setup("fit")
    batch = [part[:64] for part in next(iter(data.train_dataloader()))]

    def one(own: Any, state: Any, batch: Any) -> Any:
        return functional_call(modules[0], (own, state), (batch,))

    def losses(own: Any, state: Any, batch: Any) -> Any:
        return torch.vmap(one, in_dims=(0, 0, None), randomness="different")(own, state, batch)

    call = torch.compile(losses) if kind == "compiled" else losses

    def epoch() -> None:
        for _ in range(BATCHES):
            found = call(parameters, buffers, batch).sum()
            gradients = torch.autograd.grad(found, list(parameters.values()), allow_unused=True)
            with torch.no_grad():
                for own, gradient in zip(parameters.values(), gradients, strict=True):
                    if gradient is not None:
                        own.sub_(gradient, alpha=1e-3)

    return epoch, BATCHES * lanes


@cache
def _loss_class() -> Any:
    from torch import nn

    class Loss(nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, batch: Any) -> Any:
            if hasattr(self.module, "loss"):
                return self.module.loss(batch)
            return self.module.loss_per_sample(self.module(batch[0]), batch[1]).mean()

    return Loss


def sweeps(short: bool, networks: list[str]) -> list[dict[str, Any]]:
    """Whole sweeps, from the command to the last file, by solo and by auto."""
    counts = (48,) if short else (64, 256)
    rows = []
    for name in networks:
        model, data, number, target = SWEEPS[name]
        for count in counts:
            # The first by auto measures the machine; what that takes is a part of it.
            row = {"network": name, "trials": count, "target": target}
            for engine in ("solo", "auto", "fused"):
                row[engine] = _sweep(engine, count, model, data, number, 5 if short else 10)
                print(f"  {name}, {count} by {engine}: {row[engine]:.1f} s", file=sys.stderr)
            rows.append(row)
    print(
        "\n| network | trials | solo, s | auto, s | fused, s | trials an hour by auto "
        "| x solo | of the better |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        gain, best = row["solo"] / row["auto"], min(row["solo"], row["fused"])
        goal = f" (target {row['target']:.0f}x)" if row["trials"] == max(counts) else ""
        print(
            f"| {row['network']} | {row['trials']} | {row['solo']:.1f} | {row['auto']:.1f} "
            f"| {row['fused']:.1f} | {row['trials'] / row['auto'] * 3600:,.0f} "
            f"| {gain:.1f}x{goal} | {best / row['auto']:.2f} |"
        )
    return rows


def _sweep(engine: str, count: int, model: str, data: str, number: bool, epochs: int) -> float:
    folder = fresh(OUT / "work" / "lanes")
    folder.mkdir(parents=True)
    command = [
        sys.executable, "-m", "project.train", "-m", f"engine={engine}", "space=none", "name=s",
        f"hydra.searchpath=[file://{APPS / 'configs'}]", "allow=[networks.]", f"model=bench_{model}",
        "data=bench_digits", f"data.kind={data}", f"data.number={str(number).lower()}",
        "metric=val/loss", "direction=minimize", f"trainer.max_epochs={epochs}",
        "trainer.accelerator=cpu", "hydra.sweeper.executor.workers=2", "hydra.sweeper.report=false",
        "model.lr=tag(log, interval(1e-4, 1e-1))", f"hydra.sweeper.n_trials={count}",
    ]  # fmt: skip
    env = {
        **os.environ,
        "CAVIAR_OUTPUTS": str(folder),
        "CAVIAR_CACHE": str(OUT / "work/lanes-cache"),
        "PYTHONPATH": str(APPS),
    }
    start = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        done = subprocess.run(command, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"{(folder / 'out.txt').read_text()[-3000:]}\n{engine} failed")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
