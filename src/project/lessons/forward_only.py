"""Define only the forward pass: w² - 10w + 25 from 0 with Adam(0.1), by autodiff and by hand."""

from collections.abc import Callable

import numpy as np
import torch

from caviar.base.intervals import Estimate
from project.lessons.figure import lines
from project.lessons.verdict import Claim, Lesson

REPEATS = 1  # nothing is left to chance
STEPS = 1001


def run(repeats: int = REPEATS) -> Lesson:
    """Where w is after 1 and after 1,001 steps, and how far the hand-written gradients lead away."""
    auto = _minimise(lambda w: torch.autograd.grad(w**2 - 10 * w + 25, w)[0])
    hand = _minimise(lambda w: (2 * w - 10).detach())
    shown = np.arange(0, STEPS, 10)
    figure = lines(
        "w² - 10w + 25 with Adam(0.1)", shown.tolist(), {"w": auto[shown].tolist()}, "steps", "w"
    )
    return Lesson(judge(auto, hand), figure)


def judge(auto: np.ndarray, hand: np.ndarray) -> list[Claim]:
    """The claims, from w after each step, by autodiff and by hand."""
    step = float(np.float32(0.1))
    return [
        Claim(
            "Adam's first step is its learning rate: w is 0.1",
            {"1e-6 less the distance": _exact(1e-6 - abs(auto[0] - step))},
            f"(w = {auto[0]:.7f})",
        ),
        Claim(
            "after 1,001 steps w is 5.000001 within 2e-6",
            {"2e-6 less the distance": _exact(2e-6 - abs(auto[-1] - 5.000001))},
            f"(w = {auto[-1]:.7f})",
        ),
        Claim(
            "the forward pass is enough: hand-written gradients give the same w at every step",
            {"1e-6 less the largest difference": _exact(1e-6 - float(np.abs(auto - hand).max()))},
            f"({STEPS} steps, float32)",
        ),
    ]


def _minimise(gradient: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """w after each step, in float32."""
    w = torch.zeros((), requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.1)
    seen = []
    for _ in range(STEPS):
        w.grad = gradient(w)
        adam.step()
        seen.append(w.item())
    return np.array(seen)


def _exact(value: float) -> Estimate:
    """A number that no repeat changes."""
    return Estimate(value, value, value, 1)
