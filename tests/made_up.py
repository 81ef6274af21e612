"""Made-up sweeps: folders as a real one leaves them, with values that a test chooses."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from caviar.runs import folder as names
from caviar.runs.files import write_atomic
from caviar.runs.folder import Result
from caviar.runs.text import to_yaml
from caviar.space.grammar import as_override, read
from caviar.space.space import Space

SPACE = {
    "optimizer.lr": "tag(log, interval(1e-4, 1e-1))",
    "optimizer.momentum": "tag(reverse_log, interval(0.5, 0.99))",
    "model.width": "int(tag(log, interval(16, 128)))",
    "model.activation": "choice(relu, gelu)",
}

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Value = Callable[[dict[str, Any]], "float | list[float]"]


def make_sweep(
    folder: Path,
    value: Value = lambda params: params.get("optimizer.lr", 0.5),
    n_trials: int = 8,
    *,
    space: Mapping[str, str] = SPACE,
    when: Mapping[str, Mapping[str, Any]] | None = None,
    direction: str | list[str] = "maximize",
    metric: str | None = "val/acc",
    states: Mapping[int, str] | None = None,
    epochs: int = 3,
    checkpoints: bool = True,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a sweep's folder and return it.

    Args:
        folder: where; its parents are made.
        value: a trial's value, or values, from its hyperparameters.
        n_trials: how many trials.
        states: number -> PRUNED, FAIL or RUNNING; every other trial is COMPLETE.
        epochs: rows of each ``metrics.csv``; a pruned or running trial has one. 0 writes no such file.
        settings: what ``sweep.yaml`` shall hold otherwise.
    """
    reading = read(space, [])
    searched = Space.build(reading.hyperparameters, when or {}, lambda _: None)
    (folder / "trials").mkdir(parents=True)
    described = {
        "schema": 1,
        "n_trials": n_trials,
        "metric": metric,
        "direction": direction,
        "space": {h.name: str(h) for h in searched.hyperparameters},
        "when": {
            name: {p: list(v) for p, v in c.items()} for name, c in searched.conditions.items()
        },
        "sampler": {"_target_": "caviar.sweep.samplers.RandomSampler", "seed": seed},
        "engine": "solo",
        "executor": {"_target_": "caviar.executors.local.LocalExecutor", "workers": 2},
        "storage": "study.journal",
        "command": ["python", "-m", "project.train", "-m"],
        "folder": str(folder.parent),
        "overrides": [],
        "versions": {"python": "3.11.7", "caviar": "0.2.0", "torch": "2.13.0+cpu"},
        "git_commit": "0" * 40,
        **(settings or {}),
    }
    write_atomic(folder / "sweep.yaml", to_yaml(described))
    random_numbers = random.Random(seed)
    for number in range(n_trials):
        params = searched.draw(lambda h: h.from_unit(random_numbers.random()))
        params = {name.lstrip("+"): drawn for name, drawn in params.items()}
        make_run(
            folder / "trials" / f"{number:04}",
            (states or {}).get(number, "COMPLETE"),
            value=value(params),
            params=params,
            number=number,
            metric=metric,
            epochs=epochs,
            checkpoint=checkpoints,
        )
    return folder


def make_run(
    folder: Path,
    state: str = "COMPLETE",
    *,
    value: float | list[float] = 0.5,
    params: Mapping[str, Any] | None = None,
    number: int | None = None,
    metric: str | None = "val/acc",
    epochs: int = 3,
    checkpoint: bool = True,
    error: str = "FloatingPointError: train/loss is nan at epoch 0",
    config: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write one run's folder and return it."""
    folder.mkdir(parents=True)
    params = dict(params or {})
    ended = state in ("COMPLETE", "PRUNED", "FAIL")
    has_value = state in ("COMPLETE", "PRUNED")
    first = value[0] if isinstance(value, list) else value
    resolved: dict[str, Any] = {"seed": 0, "trainer": {"max_epochs": epochs}, **(config or {})}
    for name, drawn in params.items():
        node = resolved
        *parents, last = name.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = drawn
    write_atomic(folder / names.CONFIG, to_yaml(resolved))
    write_atomic(
        folder / names.OVERRIDES, to_yaml([as_override(name, v) for name, v in params.items()])
    )
    rows = epochs if state == "COMPLETE" else min(epochs, 1)
    if epochs and state != "FAIL":
        lines = [f"epoch,step,train/loss,{metric or 'value'}"]
        for epoch in range(rows):
            score = first * (epoch + 1) / rows
            lines.append(f"{epoch},{(epoch + 1) * 10 - 1},{1 / (epoch + 1)!r},{score!r}")
        write_atomic(folder / names.METRICS, "\n".join(lines) + "\n")
    log = f"training {folder.name}\n"
    if state == "FAIL":
        log += f"Traceback (most recent call last):\n  ...\n{error}\n"
    write_atomic(folder / names.LOG, log)
    kept = checkpoint and state == "COMPLETE"
    if kept:
        (folder / names.CHECKPOINTS).mkdir()
        write_atomic(folder / names.CHECKPOINTS / "best.ckpt", b"made up")
    began = BEGAN + timedelta(seconds=10 * (number or 0))
    Result(
        state=state,
        number=number,
        value=value if has_value else None,
        metric=metric,
        best_epoch=rows - 1 if has_value and epochs else None,
        seconds=round(1 + (number or 0) / 10, 3) if ended else None,
        started=began.isoformat(timespec="milliseconds"),
        params=params,
        seed=0,
        checkpoint=f"{names.CHECKPOINTS}/best.ckpt" if kept else None,
        error=error if state == "FAIL" else None,
        facts=dict(facts or {}),
    ).write(folder)
    return folder
