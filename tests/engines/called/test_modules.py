"""Modules as people write them: on a lane among strangers they come to what a Trainer alone comes to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engines.called import modules as m
from tests.engines.called.compare import (
    Make,
    Tensors,
    assert_same_on_a_lane,
    by_trainer,
    called,
    experiment,
    on_a_lane,
)

Vary = Callable[[int], dict[str, Any]]


def rates(n: int) -> dict[str, Any]:
    return {"module__lr": 0.002 * (n + 1)}


def numbers(n: int) -> dict[str, Any]:
    return {**rates(n), "module__alpha": n / 9, "module__smoothing": n % 3 / 10}


CASES: dict[str, tuple[Make, Callable[[], Tensors], Vary, dict[str, Any]]] = {
    "numbers that differ between lanes": (m.Plain, m.vectors, numbers, {}),
    **{
        f"by {kind}": (m.Optimized, m.vectors, rates, {"module__kind": kind})
        for kind in ("NAdam", "RAdam", "Adagrad", "Adadelta", "Adamax")
    },
    "a convolution that augments": (m.Pictures, m.pictures, rates, {}),
    "a transformer": (m.Transformer, m.pictures, rates, {}),
    "an embedding with a mask": (m.Words, m.sentences, rates, {}),
    "a regression by Huber's loss": (
        m.Huber, m.targets, lambda n: {**rates(n), "module__delta": 0.2 + n / 5}, {},
    ),
    "several labels, weighted": (
        m.MultiLabel, m.labels, lambda n: {**rates(n), "module__rare": 1.0 + n}, {},
    ),
    "scored over its last epochs": (m.Huber, m.targets, rates, {"score": "last2"}),
    "an autoencoder": (m.Autoencoder, m.vectors, rates, {}),
    "torchmetrics in its steps": (m.Measured, m.vectors, rates, {}),
    "logged every step": (m.Measured, m.vectors, rates, {"log_every_n_steps": 1}),
    "logged every other step": (m.Measured, m.vectors, rates, {"log_every_n_steps": 2}),
    "a list of outputs": (m.Outputs, m.vectors, rates, {}),
    "a frozen backbone and groups": (m.Frozen, m.vectors, rates, {}),
    "tied weights": (m.Tied, m.vectors, rates, {}),
    "a schedule of its own": (m.OwnSchedule, m.vectors, rates, {}),
    "numbers that steps take as they are": (
        m.Decides, m.vectors,
        lambda n: {**rates(n), "module__momentum": (0.1, 0.2)[n % 2], "module__heads": (2, 3)[n % 3 == 1],
                   "module__warm": 1 + n % 2}, {},
    ),
    "accumulated and clipped": (
        m.Plain, m.vectors, numbers, {"accumulate_grad_batches": 4, "gradient_clip_val": 0.1},
    ),
    "clipped by value": (
        m.Plain, m.vectors, numbers,
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    ),
    "a few batches": (m.Plain, m.vectors, rates, {"limit_train_batches": 3, "limit_val_batches": 1}),
    "validated every other epoch": (m.Plain, m.vectors, rates, {"check_val_every_n_epoch": 2}),
}  # fmt: skip


@pytest.mark.parametrize(("make", "data", "vary", "settings"), CASES.values(), ids=CASES)
def test_a_lane_among_strangers_is_the_trial_that_a_trainer_runs(
    make: Make, data: Callable[[], Tensors], vary: Vary, settings: dict[str, Any], tmp_path: Path
) -> None:
    assert_same_on_a_lane(make, data, tmp_path, vary, **settings)


@pytest.mark.parametrize(
    ("make", "data"), [(m.VAE, m.vectors), (m.NoisyLabels, m.vectors)], ids=["VAE", "noisy labels"]
)
def test_what_is_drawn_in_a_step_is_the_same_in_distribution(
    make: Make, data: Callable[[], Tensors], tmp_path: Path
) -> None:
    def last(rows: list[dict[str, str]]) -> float:
        return float(rows[-1]["train/loss"])

    alone = [last(by_trainer(experiment(make, data, n), tmp_path / str(n)).rows) for n in range(6)]
    lanes = [called(experiment(make, data, n)) for n in range(6)]
    on_a_lane(lanes[0], lanes[1:])
    beside = torch.tensor([one.rows[-1]["train/loss"] for one in lanes])
    gap = torch.tensor(alone) - beside
    assert gap.mean().abs() < 3 * gap.std() / 6**0.5 + 1e-3
    assert gap.abs().min() > 0  # drawn, and each lane its own
    assert len(set(beside.tolist())) == 6
