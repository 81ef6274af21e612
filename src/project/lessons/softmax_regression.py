"""Softmax regression: linear boundaries, hardmax, J as the mean of -Σ y log ŷ, and dz = ŷ - y."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from caviar.base.intervals import t_interval
from project.data.synthetic import Synthetic
from project.lessons.figure import areas
from project.lessons.verdict import Claim, Lesson

REPEATS = 20
CLASSES = 4
TOLERANCE = 1e-5


def run(repeats: int = REPEATS) -> Lesson:
    """Train by hand-written gradients on four blobs, and check each statement on the result."""
    made = [Synthetic("blobs", classes=CLASSES, noise=0.3, data_seed=n) for n in range(repeats)]
    trained = [(x, y, *_train(x, y)) for x, y in (one.parts.train for one in made)]
    found = [_errors(*one) for one in trained]
    errors = {name: [one[name] for one in found] for name in TEXTS}
    x, y, weight, bias = trained[-1]
    low, span = x.min(0).values, x.max(0).values - x.min(0).values
    axis = torch.linspace(0, 1, 40)
    square = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    classes = ((low + square * span) @ weight + bias).argmax(-1).numpy()
    some = ((x - low) / span)[:200].numpy()
    figure = areas("Four classes, parted by lines", classes, some, y[:200].numpy())
    return Lesson(judge(errors), figure)


TEXTS = {
    "line": "softmax regression's boundaries between several classes are straight lines",
    "hard": "the largest softmax output is the largest logit's: hardmax agrees",
    "loss": "with one-hot targets J is the mean of -Σ y log ŷ (torch's cross-entropy)",
    "grad": "the gradient of a sample's loss in its logits is dz = ŷ - y (autodiff)",
}


def judge(errors: dict[str, list[float]]) -> list[Claim]:
    """The claims, from the error of each on each data set."""
    return [
        Claim(
            TEXTS[name],
            {"tolerance less error": t_interval(TOLERANCE - np.array(found))},
            f"(tolerance {TOLERANCE:g}), {len(found)} data sets",
        )
        for name, found in errors.items()
    ]


def _train(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    weight, bias = torch.zeros(x.shape[1], CLASSES), torch.zeros(CLASSES)
    target = functional.one_hot(y, CLASSES).float()
    for _ in range(300):
        dz = ((x @ weight + bias).softmax(-1) - target) / len(x)
        weight -= x.T @ dz
        bias -= dz.sum(0)
    return weight, bias


def _errors(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> dict[str, float]:
    logits = (x @ weight + bias).requires_grad_(True)
    softmax, target = logits.softmax(-1), functional.one_hot(y, CLASSES).float()
    by_hand = -(target * softmax.log()).sum(-1)
    (dz,) = torch.autograd.grad(by_hand.sum(), logits)
    # Where boundaries are lines, each class's area is convex: all between two of its points is its.
    ends = torch.rand(2, 4000, x.shape[1], generator=torch.Generator().manual_seed(0)) * 6 - 3
    label = [(end @ weight + bias).argmax(-1) for end in ends]
    same = label[0] == label[1]
    between = (
        torch.linspace(0, 1, 9)[:, None, None] * (ends[1] - ends[0])[None, same] + ends[0, same]
    )
    inside = (between @ weight + bias).argmax(-1) == label[0][same]
    return {
        "line": float((~inside).float().mean()),
        "hard": float((softmax.argmax(-1) != logits.argmax(-1)).float().mean()),
        "loss": abs(float((by_hand.mean() - functional.cross_entropy(logits, y)).detach())),
        "grad": float((dz - (softmax - target)).abs().max().detach()),
    }
