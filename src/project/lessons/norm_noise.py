"""Batch norm's noise against the batch size, whether it regularises, and the shift of inner inputs."""

import numpy as np
import torch

from caviar.base.intervals import t_interval
from project.lessons.figure import lines
from project.lessons.lanes import Lanes, without_and_with
from project.lessons.verdict import Claim, Lesson

REPEATS = 20
BATCHES = (8, 16, 32, 64, 128, 256)
SMALL, LARGE, STEPS = 16, 256, 300


def run(repeats: int = REPEATS) -> Lesson:
    """The noise of a sample's logits, the gap between losses, and how far a layer's inputs wander."""
    noise = _noise(repeats)
    closed = without_and_with(lambda norm: _gap(norm, LARGE, repeats) - _gap(norm, SMALL, repeats))
    shift = without_and_with(lambda norm: _shift(norm, repeats))
    series = {"batch norm": noise.mean(0).tolist()}
    across, up = "log2 of the batch size", "standard deviation"
    figure = lines("Noise of a sample's logits", np.log2(BATCHES).tolist(), series, across, up)
    return Lesson(judge(noise, closed, shift), figure)


def judge(
    noise: np.ndarray, closed: dict[str, np.ndarray], shift: dict[str, np.ndarray]
) -> list[Claim]:
    """The claims.

    Args:
        noise: of a sample's logits, ``(repeats, batch sizes)``.
        closed: by how much the gap of losses shrinks, without (``none``) and with (``before``).
        shift: of a layer's inputs an epoch, likewise.
    """
    slopes = [np.polyfit(np.log(BATCHES), np.log(row), 1)[0] for row in noise]
    repeats = len(noise)
    return [
        Claim(
            "batch norm adds noise that falls with the batch size",
            {"-slope of log noise over log batch": t_interval(-np.array(slopes))},
            f"(0.5 is 1/√batch), {repeats} networks",
        ),
        Claim(
            f"that noise regularises: from batch {LARGE} to {SMALL} the gap of validation to training "
            "loss shrinks more with batch norm than without",
            {"with less without": t_interval(closed["before"] - closed["none"])},
            f"nats, {repeats} repeats of {STEPS} steps",
        ),
        Claim(
            "batch norm lessens the shift of a hidden layer's inputs during training",
            {"without less with": t_interval(shift["none"] - shift["before"])},
            f"standard deviations an epoch, {repeats} repeats",
        ),
    ]


def _noise(repeats: int) -> np.ndarray:
    """Standard deviation of one sample's logits over batches of others, ``(repeats, batches)``."""
    lanes = Lanes(repeats, 7, (32, 32), norm="before")
    lanes.epochs(2)
    found = []
    for size in BATCHES:
        index = torch.randint(1, len(lanes.x), (repeats, 30, size))
        index[..., 0] = 0  # the one sample that is watched
        with torch.no_grad():
            seen = [lanes.logits(lanes.x[index[:, i]], train=True)[0][:, 0] for i in range(30)]
        found.append(torch.stack(seen).std(0).mean(1).numpy())
    return np.stack(found, axis=1)


def _gap(norm: str, batch: int, repeats: int) -> np.ndarray:
    lanes = Lanes(repeats, 8, (32, 32), norm=norm, batch_size=batch, lr=3e-3)
    lanes.advance(STEPS)
    return lanes.loss("val") - lanes.loss("train")


@torch.no_grad()
def _moments(lanes: Lanes) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the second hidden layer's inputs over 256 samples."""
    layer = lanes.logits(lanes.x[:256].expand(lanes.lanes, -1, -1), train=False)[1][1]
    return layer.mean(1), layer.std(1)


def _shift(norm: str, repeats: int) -> np.ndarray:
    """By how much those inputs' means move an epoch, in their deviations, over five epochs."""
    lanes = Lanes(repeats, 9, (32, 32), "sgd", norm, lr=0.05)
    lanes.epochs(1)  # the running statistics have come in by then
    total, (mean, deviation) = torch.zeros(repeats), _moments(lanes)
    for _ in range(5):
        lanes.epochs(1)
        now, spread = _moments(lanes)
        total += ((now - mean).abs() / deviation.clamp(min=1e-3)).mean(1)
        mean, deviation = now, spread
    return (total / 5).double().numpy()
