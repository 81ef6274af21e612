"""Made-up sweeps: run folders with the files that real ones have, and scores by a given function."""

import csv
import io
import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from caviar.runs import folder as names
from caviar.runs.config import to_yaml
from caviar.runs.files import write_atomic
from caviar.runs.folder import Result
from caviar.runs.sweep_folder import SWEEP, trial_folder
from caviar.space.grammar import as_override, read
from caviar.space.space import Space

SPACE = {
    "optimizer.lr": "tag(log, interval(1e-4, 1e-1))",
    "model.width": "int(tag(log, interval(16, 128)))",
    "model.activation": "choice(relu, tanh)",
}

BEGAN = datetime(2026, 1, 5, 12, tzinfo=UTC)


def accuracy(params: Mapping[str, Any]) -> float:
    """Best at lr 0.01; a wider model is a little better."""
    away = math.log10(params["optimizer.lr"]) + 2
    return 0.95 - 0.1 * away**2 + 0.0002 * params["model.width"]


def every_state(number: int) -> str:
    """Of ten trials, one failed, two are pruned, one is still running, the others are complete."""
    return {3: "FAIL", 5: "PRUNED", 7: "PRUNED", 9: "RUNNING"}.get(number % 10, "COMPLETE")


def all_complete(number: int) -> str:
    """Every trial is complete."""
    return "COMPLETE"


def make_sweep(
    folder: Path,
    n: int = 10,
    *,
    value: Callable[[Mapping[str, Any]], float | list[float]] = accuracy,
    state: Callable[[int], str] = every_state,
    space: Mapping[str, str] = SPACE,
    when: Mapping[str, Any] | None = None,
    direction: str | list[str] = "maximize",
    metric: str | None = "val/acc",
    epochs: int = 4,
    curve: Callable[[Mapping[str, Any], int], Mapping[str, float]] | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    change: Callable[[int, Result], None] | None = None,
    error: Callable[[int], str] = lambda _: "FloatingPointError: train/loss is nan at epoch 1",
    checkpoints: bool = True,
) -> Path:
    """Make a sweep's folder with ``n`` trials, drawn at random from a space.

    Args:
        folder: where to; its parents are made.
        n: how many trials.
        value: params -> the score of a complete trial.
        state: number -> RUNNING, COMPLETE, PRUNED or FAIL.
        space, when, direction, metric, settings: what ``sweep.yaml`` holds.
        epochs: rows of ``metrics.csv`` of a complete trial; the others have half of them.
        curve: params, epoch -> that row's metrics; where it is None, one that rises to the score.
        seed: of the draws.
        change: gets each trial's number and its Result before that is written, to change it.
        error: number -> the last line of a failed trial's traceback.
        checkpoints: whether complete trials leave a ``best.ckpt`` (empty).
    """
    folder.mkdir(parents=True)
    hyperparameters = read(space, []).hyperparameters
    searched = Space.build(hyperparameters, when or {}, lambda _: None)
    described = {
        "schema": 1,
        "n_trials": n,
        "metric": metric,
        "direction": direction,
        "space": dict(space),
        "when": {k: dict(v) for k, v in (when or {}).items()},
        "enqueue": [],
        "sampler": {"_target_": "caviar.sweep.samplers.RandomSampler", "seed": seed},
        "pruner": {},
        "engine": "solo",
        "executor": {"_target_": "caviar.executors.local.LocalExecutor", "workers": 2},
        "retries": 1,
        "storage": "study.journal",
        "command": ["python", "-m", "project.train", "-m"],
        "folder": str(folder.parent),
        "overrides": [],
        "versions": {"python": "3.11.7", "torch": "2.9.0"},
        "git_commit": "0" * 40,
        **(settings or {}),
    }
    write_atomic(folder / SWEEP, to_yaml(described))
    source = random.Random(seed)
    for number in range(n):
        params = {
            name.lstrip("+"): drawn
            for name, drawn in searched.draw(lambda h: h.from_unit(source.random())).items()
        }
        run = trial_folder(folder, number)
        run.mkdir(parents=True)
        _make_run(
            run,
            number,
            params,
            value,
            state(number),
            metric,
            epochs,
            curve,
            change,
            error,
            checkpoints,
        )
    return folder


def make_run(folder: Path, value: float = 0.9, params: Mapping[str, Any] | None = None) -> Path:
    """Make the folder of a complete single run."""
    folder.mkdir(parents=True)
    _make_run(
        folder, None, params or {}, lambda _: value, "COMPLETE", "val/acc", 3, None, None, str, True
    )
    return folder


def config_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """A config with these values, by dotted key, and a few that never change."""
    config: dict[str, Any] = {"seed": 0, "trainer": {"max_epochs": 4}, "model": {"depth": 2}}
    for name, value in params.items():
        *parents, last = name.split(".")
        node = config
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                node[parent] = {}  # a config group: what stands there is its content
            node = node[parent]
        node[last] = value
    return config


def _make_run(
    run: Path,
    number: int | None,
    params: Mapping[str, Any],
    value: Callable[[Mapping[str, Any]], float | list[float]],
    state: str,
    metric: str | None,
    epochs: int,
    curve: Callable[[Mapping[str, Any], int], Mapping[str, float]] | None,
    change: Callable[[int, Result], None] | None,
    error: Callable[[int], str],
    checkpoints: bool,
) -> None:
    score = value(params)
    first = score[0] if isinstance(score, list) else score
    done = epochs if state == "COMPLETE" else epochs // 2
    rows = []
    for epoch in range(done):
        share = (epoch + 1) / epochs
        row = {"train/loss": 2.3 * (1 - share) + 0.1, metric or "score": first * share}
        rows.append(
            {"epoch": epoch, "step": 10 * epoch + 9, **(curve(params, epoch) if curve else row)}
        )
    result = Result(
        state=state,
        number=number,
        metric=metric,
        params=dict(params),
        started=(BEGAN + timedelta(seconds=2 * (number or 0))).isoformat(timespec="milliseconds"),
    )
    if state != "RUNNING":
        result.seconds = 1.5
    if state == "COMPLETE":
        result.value, result.best_epoch = score, max(epochs - 1, 0)
        result.seed = 0
        result.facts["metrics"] = {k: v for k, v in rows[-1].items() if "/" in k} if rows else {}
        if checkpoints:
            result.checkpoint = f"{names.CHECKPOINTS}/best.ckpt"
            (run / names.CHECKPOINTS).mkdir()
            (run / result.checkpoint).touch()
    elif state == "PRUNED":
        result.value = first * done / epochs
    elif state == "FAIL":
        result.error = error(number or 0)
    if change:
        change(number or 0, result)
    log = f"trial {number}\n"
    if state == "FAIL":
        log += f"Traceback (most recent call last):\n  …\n{result.error}\n"
    (run / names.LOG).write_text(log)
    (run / names.CONFIG).write_text(to_yaml(config_of(params)))
    (run / names.OVERRIDES).write_text(to_yaml([as_override(k, v) for k, v in params.items()]))
    if rows:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (run / names.METRICS).write_text(text.getvalue())
    result.write(run)
