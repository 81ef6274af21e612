"""Batch norm: the loss surface's conditioning, the speed, and how many learning rates work."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from caviar.base.intervals import t_interval
from project.lessons.figure import lines
from project.lessons.lanes import Lanes, digits, without_and_with
from project.lessons.verdict import Claim, Lesson

REPEATS = 12
RATES = np.logspace(-3, 1.5, 19)
TARGET = 0.5
"""A validation loss, in nats, that a network either reaches or does not."""
ROUNDS, STEPS = 16, 5
SIZES = (16, 10, 10, 10)


def run(repeats: int = REPEATS) -> Lesson:
    """SGD on two hidden layers, at every learning rate, with and without batch norm."""
    reached = without_and_with(lambda norm: _steps_to_target(norm, repeats))
    most, apart = ROUNDS * STEPS, np.log10(RATES[1] / RATES[0])
    fastest = {norm: np.minimum(steps.min(axis=1), most) for norm, steps in reached.items()}
    decades = {norm: np.isfinite(steps).sum(axis=1) * apart for norm, steps in reached.items()}
    condition = without_and_with(
        lambda norm: np.array([_condition(norm, seed) for seed in range(repeats)])
    )
    names = {"none": "without", "before": "with batch norm"}
    series = {names[norm]: np.isfinite(steps).mean(0).tolist() for norm, steps in reached.items()}
    across, up = "log10 of the learning rate", f"share that reaches {TARGET} nats"
    figure = lines("Which learning rates work", np.log10(RATES).tolist(), series, across, up)
    return Lesson(judge(condition, fastest, decades), figure)


def judge(
    condition: dict[str, np.ndarray], fastest: dict[str, np.ndarray], decades: dict[str, np.ndarray]
) -> list[Claim]:
    """The claims, each measure without (``none``) and with batch norm (``before``), ``(repeats,)``."""
    repeats = len(condition["none"])
    return [
        Claim(
            "batch norm makes the loss surface better conditioned (the Hessian's largest "
            "eigenvalue over its median one)",
            {"log10 without less with": t_interval(condition["none"] - condition["before"])},
            f"decades, {repeats} networks at the start",
        ),
        Claim(
            f"batch norm reaches a given loss ({TARGET} nats) in fewer steps, "
            "each at its best learning rate",
            {"without less with": t_interval(fastest["none"] - fastest["before"])},
            f"steps, {repeats} repeats",
        ),
        Claim(
            "with batch norm a wider range of learning rates works",
            {"with less without": t_interval(decades["before"] - decades["none"])},
            f"decades, {repeats} repeats",
        ),
    ]


def _steps_to_target(norm: str, repeats: int) -> np.ndarray:
    """Steps until the target, infinite where it is not reached, shape ``(repeats, rates)``."""
    rates = np.tile(RATES, repeats)
    lanes = Lanes(len(rates), 5, (32, 32), "sgd", norm, lr=rates, momentum=0.0)
    steps = np.full(len(rates), np.inf)
    for count in range(1, ROUNDS + 1):
        lanes.advance(STEPS)
        steps = np.where((lanes.loss() <= TARGET) & np.isinf(steps), count * STEPS, steps)
    return steps.reshape(repeats, -1)


def _condition(norm: str, seed: int) -> float:
    """log10 of the Hessian's largest eigenvalue over its median one, by size, for a small network."""
    x, y, _, _ = digits()
    x = torch.linalg.svd(x[:256] - x[:256].mean(0), full_matrices=False)[0][:, : SIZES[0]]
    # 16 features, none of them always 0
    x = (x / x.std(0)).double()
    random = torch.Generator().manual_seed(seed)
    shapes = list(pairwise(SIZES))
    flat = torch.cat([(torch.randn(a, b, generator=random) / a**0.5).flatten() for a, b in shapes])

    def loss(weights: Tensor) -> Tensor:
        h, rest = x, weights
        for index, (a, b) in enumerate(shapes):
            h, rest = h @ rest[: a * b].view(a, b), rest[a * b :]
            if index < len(shapes) - 1:
                if norm != "none":
                    h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
                h = h.tanh()
        return functional.cross_entropy(h, y[:256])

    hessian = torch.func.hessian(loss)(flat.double())
    assert isinstance(hessian, Tensor)
    sizes = torch.linalg.eigvalsh(hessian).abs()
    return float((sizes.max() / sizes.median()).log10())
