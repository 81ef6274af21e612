"""The bias before batch norm is meaningless; normalising before the activation or after it."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from caviar.base.intervals import t_interval
from project.lessons.figure import intervals
from project.lessons.lanes import digits, final_losses
from project.lessons.verdict import Claim, Lesson

REPEATS = 30
TOLERANCE = 1e-5


def run(repeats: int = REPEATS) -> Lesson:
    """What a bias does before batch norm, in output and gradient; and the loss of either order."""
    slack = np.array([_bias_does(seed) for seed in range(repeats)])
    rates = np.logspace(-2.5, -1, 6)
    best = {}
    for norm in ("before", "after"):
        losses = final_losses(6, 6, lr=np.tile(rates, repeats), hidden=(32, 32), norm=norm)
        best[norm] = losses.reshape(repeats, -1).min(axis=1)
    claims = judge(slack, best)
    title = "Normalising after the activation, less before it"
    return Lesson(claims, intervals(title, claims[1].effects, "nats"))


def judge(slack: np.ndarray, best: dict[str, np.ndarray]) -> list[Claim]:
    """The claims.

    Args:
        slack: by how much a bias changes the output, and its share of the gradient, ``(repeats, 2)``.
        best: each order's best loss, shapes ``(repeats,)``.
    """
    repeats = len(slack)
    return [
        Claim(
            "a bias before batch norm is meaningless: it changes no output and gets no gradient",
            {
                "tolerance less change of output": t_interval(TOLERANCE - slack[:, 0]),
                "tolerance less share of the gradient": t_interval(TOLERANCE - slack[:, 1]),
            },
            f"(tolerance {TOLERANCE:g}, float32), {repeats} networks",
        ),
        Claim(
            "normalising before the activation is better than after it",
            {"after's best loss less before's": t_interval(best["after"] - best["before"])},
            f"nats, {repeats} repeats, tanh, each at its best learning rate",
        ),
    ]


def _bias_does(seed: int) -> tuple[float, float]:
    """The relative change of the output by a random bias, and the bias's share of the gradient."""
    x, y, _, _ = digits()
    torch.manual_seed(seed)
    linear, norm, last = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(32, 10)

    def logits() -> torch.Tensor:
        return last(norm(linear(x[:256])).tanh())

    functional.cross_entropy(logits(), y[:256]).backward()
    assert linear.bias.grad is not None
    assert linear.weight.grad is not None
    share = float(linear.bias.grad.norm() / linear.weight.grad.norm())
    with torch.no_grad():
        before = logits()
        linear.bias.add_(torch.randn(32))
        change = float((logits() - before).abs().max() / before.abs().max())
    return change, share
