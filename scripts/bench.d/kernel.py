"""What the kernel that trains a lane takes of an H100's multiprocessor: compiled for it, on any machine."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["TRITON_INTERPRET"] = "0"  # before triton is first imported: this is to be compiled

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.append(str(Path(__file__).resolve().parents[2]))

from caviar.engines.kernel.backend import room, settings, warps
from caviar.engines.kernel.chain import Chain, chain_of
from caviar.engines.kernel.program import train
from caviar.engines.lanes.stack import Stack
from tests.engines.lanes import training

CAPABILITY = 90

CASES = {
    "64-64-32-10, batch norm, Adam": ("model.hidden=[64,32]",),
    "the same, dropout, clipped by value": (
        "model.hidden=[64,32]", "model.dropout=0.2", "trainer.gradient_clip_val=1.0",
        "+trainer.gradient_clip_algorithm=value",
    ),
    "no batch norm, SGD": ("model.hidden=[64,32]", "model.batch_norm=none", "optimizer=sgd"),
    "batch norm after SiLU, dropout, AdamW": (
        "model.hidden=[64,32]", "model.batch_norm=after", "model.activation=silu", "model.dropout=0.2",
        "optimizer=adamw", "optimizer.decay_all=true",
    ),
    "softmax regression": ("model.depth=0",),
    "the same, clipped by norm": (
        "model.hidden=[64,32]", "model.dropout=0.2", "trainer.gradient_clip_val=1.0",
    ),
    "the largest: 128-128-128-64, batch 128, dropout, clipped": (
        "data.features=128", "data.classes=64", "data.samples=1000", "data.batch_size=128",
        "model.hidden=[128,128]", "model.dropout=0.2", "trainer.gradient_clip_val=1.0",
    ),
    "the largest at batch 128": (
        "data.features=128", "data.classes=64", "data.samples=1000", "data.batch_size=128",
        "model.hidden=[128,128]", "model.dropout=0.2",
    ),
    "the largest at batch 64": (
        "data.features=128", "data.classes=64", "data.samples=1000", "model.hidden=[128,128]",
        "model.dropout=0.2", "trainer.gradient_clip_val=1.0",
    ),
}  # fmt: skip
_DIGITS = ("data.features=64", "data.classes=10", "data.samples=1000", "data.batch_size=64")


def main() -> None:
    """Compile what is asked for, and print what ptxas says of it."""
    parser = argparse.ArgumentParser(prog="scripts/bench kernel", description=__doc__)
    parser.add_argument("--only", choices=CASES, action="append", help="this case alone")
    parser.add_argument("--json", action="store_true", help="as JSON, a line")
    options = parser.parse_args()
    found = {name: compiled(CASES[name]) for name in options.only or CASES}
    if options.json:
        print(json.dumps(found))
        return
    print(f"sm_{CAPABILITY}, triton {triton.__version__}, torch {torch.__version__}")
    print("| network | warps | registers | spilled | shared | a lane's own | compiled in |")
    print("|---|---|---|---|---|---|---|")
    for name, one in found.items():
        print(
            f"| {name} | {one['warps']} | {one['registers']} | {one['spilled']} B "
            f"| {one['shared'] / 1024:.0f} KiB | {one['work'] / 1024:.0f} KiB | {one['seconds']:.0f} s |"
        )


def compiled(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Registers a thread, bytes spilled, shared memory, and the place that a lane has in the cache."""
    tensors = Stack([training(*_DIGITS, *overrides)], 1).tensors
    chain = chain_of(tensors.net.plan.layers)
    assert isinstance(chain, Chain), chain
    given, began = settings(tensors, chain), time.perf_counter()
    number = warps(given["B"])
    source = ASTSource(train, *_signature(given))
    target = GPUTarget("cuda", CAPABILITY, 32)
    kernel = triton.compile(source, target=target, options={"num_warps": number, "num_stages": 1})
    seconds = time.perf_counter() - began
    return {
        "warps": number,
        "shared": kernel.metadata.shared,
        "work": 4 * room(given),
        "seconds": seconds,
        **_resources(kernel.asm["ptx"]),
    }


def _signature(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[Any, Any]]:
    """Of `train`: the types of what it is launched with, what it is compiled for, what is aligned."""
    whole = {"steps", "seen", "order_row", "training"}  # of a launch
    types: dict[str, Any] = {}
    for name in train.arg_names:
        value = given.get(name)
        if name.isupper():
            types[name] = "constexpr"
        elif isinstance(value, tuple):
            types[name] = ("i32",) * len(value)
        elif isinstance(value, float):
            types[name] = "fp32"
        elif value is not None or name in whole:
            types[name] = "i32"
        else:
            types[name] = "*i64" if name in ("y", "order", "keys") else "*fp32"
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(train.arg_names)
        if str(types[name]).startswith("*") or name in ("parameter_row", "running_row")
    }
    return types, {name: given[name] for name in types if name.isupper()}, aligned


def _resources(ptx: str) -> dict[str, Any]:
    """What ptxas says, and the stages that take the larger or the smaller of a number and of none."""
    ptxas = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    with TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [
            str(ptxas),
            "-v",
            f"--gpu-name=sm_{CAPABILITY}a",
            str(source),
            "-o",
            f"{source}.o",
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    stages = re.split(r"^\.func \S*_\$_(\w+?)__", ptx, flags=re.MULTILINE)[1:]
    drops = {
        name
        for name, body in zip(stages[::2], stages[1::2], strict=True)
        if re.search(r"\b(max|min)\.(ftz\.)?f32", body)
    }
    return {
        "drops_nan": sorted(drops),
        "registers": max(int(used) for used in re.findall(r"Used (\d+) registers", said)),
        "spilled": sum(int(stores) + int(loads) for stores, loads in spilled),
    }


if __name__ == "__main__":
    main()
