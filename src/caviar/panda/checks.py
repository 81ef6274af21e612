"""Health checks: what may be wrong with a training, told from what its epochs showed.

To add one, write a function here from the epochs so far to a sentence with numbers and a remedy, or
None, and decorate it with ``@check("its name")``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

PATIENCE = 8
"""Epochs over which a loss is looked at."""


@dataclass
class Vitals:
    """What one epoch showed.

    Attributes:
        epoch: from 0.
        train_loss, val_loss: means over the epoch, None where not logged.
        steps_per_second: of training, without validation.
        grad_norm: the gradient's norm over all parameters before clipping, at the last look.
        update_ratio: layer -> norm of one step's update over the norm of its weights.
        dead: layer -> share of units whose output was 0 for a whole batch.
        drift: batch norm -> largest distance of a batch's mean from the running mean, in running
            standard deviations; median over units.
    """

    epoch: int
    train_loss: float | None = None
    val_loss: float | None = None
    steps_per_second: float | None = None
    grad_norm: float | None = None
    update_ratio: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What a check found: its name, a sentence with numbers, and what may help."""

    check: str
    sentence: str
    remedy: str


Check = Callable[[list[Vitals]], tuple[str, str] | None]

CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check under ``name``."""

    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


def examine(epochs: list[Vitals]) -> list[Finding]:
    """What all checks find in the epochs so far, the last of which has just ended."""
    found = []
    for name, function in CHECKS.items():
        told = function(epochs)
        if told:
            found.append(Finding(name, *told))
    return found


@check("not_finite")
def not_finite(epochs: list[Vitals]) -> tuple[str, str] | None:
    """A loss is NaN or infinite."""
    last = epochs[-1]
    for name, loss in (("training", last.train_loss), ("validation", last.val_loss)):
        if loss is not None and not math.isfinite(loss):
            return (
                f"the {name} loss is {loss} at epoch {last.epoch}",
                "roll back, and lower optimizer.lr or set trainer.gradient_clip_val=1",
            )
    return None


@check("diverging")
def diverging(epochs: list[Vitals]) -> tuple[str, str] | None:
    """The training loss is far above its lowest, and has risen for two epochs."""
    losses = _losses(epochs, "train_loss")
    if len(losses) < 3 or not losses[-1] > losses[-2] > losses[-3]:
        return None
    lowest = min(losses)
    if losses[-1] < 1.5 * lowest + 1e-3:
        return None
    return (
        f"the training loss rose to {losses[-1]:.4g}, {losses[-1] / max(lowest, 1e-12):.1f} times "
        f"its lowest ({lowest:.4g})",
        "roll back, or lower optimizer.lr to a third",
    )


@check("plateau")
def plateau(epochs: list[Vitals]) -> tuple[str, str] | None:
    """The loss that decides has gained less than 0.5 % over the last epochs."""
    losses = _losses(epochs, "val_loss") or _losses(epochs, "train_loss")
    if len(losses) <= PATIENCE:
        return None
    before, since = min(losses[:-PATIENCE]), min(losses[-PATIENCE:])
    gain = (before - since) / abs(before) if before else 0.0
    if gain >= 0.005:
        return None
    return (
        f"the best loss of the last {PATIENCE} epochs, {since:.4g}, is {100 * gain:.2f} % better "
        f"than the best before, {before:.4g}",
        "halve optimizer.lr; if that does not help, stop",
    )


@check("overfitting")
def overfitting(epochs: list[Vitals]) -> tuple[str, str] | None:
    """The validation loss rises while the training loss falls."""
    val, train = _losses(epochs, "val_loss"), _losses(epochs, "train_loss")
    if len(val) <= 4 or len(train) <= 4:
        return None
    lowest = min(val)
    if val[-1] < 1.1 * lowest or train[-1] >= train[-4] or val[-1] <= val[-4]:
        return None
    return (
        f"the validation loss is {val[-1]:.4g}, {100 * (val[-1] / lowest - 1):.0f} % above its "
        f"lowest, while the training loss fell to {train[-1]:.4g}",
        "raise model.dropout or optimizer.weight_decay, or stop: the best checkpoint is kept",
    )


@check("underfitting")
def underfitting(epochs: list[Vitals]) -> tuple[str, str] | None:
    """After many epochs the training loss is hardly below where it began."""
    losses = _losses(epochs, "train_loss")
    if len(losses) < PATIENCE or losses[-1] < 0.7 * losses[0] or losses[-1] < 0.05:
        return None
    return (
        f"after {len(losses)} epochs the training loss is {losses[-1]:.4g}, from {losses[0]:.4g}",
        "another optimizer.lr (3 times up or down), less regularisation, or a larger network",
    )


@check("gradient_exploding")
def gradient_exploding(epochs: list[Vitals]) -> tuple[str, str] | None:
    """The gradient is not finite, or 30 times its usual norm."""
    norms = _fresh(epochs, "grad_norm")
    if not norms:
        return None
    usual = median(norms[:-1]) if len(norms) > 3 else None
    if math.isfinite(norms[-1]) and (usual is None or norms[-1] < 30 * usual):
        return None
    usually = "" if usual is None else f" (usually {usual:.3g})"
    return (
        f"the gradient's norm is {norms[-1]:.3g}{usually}",
        "trainer.gradient_clip_val=1, or a lower optimizer.lr",
    )


@check("gradient_vanishing")
def gradient_vanishing(epochs: list[Vitals]) -> tuple[str, str] | None:
    """The gradient is next to nothing, while the loss is not."""
    norms, losses = _fresh(epochs, "grad_norm"), _losses(epochs, "train_loss")
    if not norms or not norms[-1] < 1e-6 or (losses and losses[-1] < 1e-3):
        return None
    return (
        f"the gradient's norm is {norms[-1]:.3g}",
        "batch norm, another activation (relu, gelu), or a smaller depth",
    )


@check("dead_units")
def dead_units(epochs: list[Vitals]) -> tuple[str, str] | None:
    """In some layer, half of the units are 0 for every sample of a batch."""
    dead = epochs[-1].dead
    layer = max(dead, key=dead.__getitem__, default=None)
    if layer is None or dead[layer] < 0.5:
        return None
    return (
        f"{100 * dead[layer]:.0f} % of the units of {layer} are 0 for a whole batch",
        "a lower optimizer.lr, batch norm, or model.activation=leaky_relu",
    )


@check("update_ratio")
def update_ratio(epochs: list[Vitals]) -> tuple[str, str] | None:
    """A step changes a layer's weights by far more or less than a thousandth of them.

    About 1e-3 is usual (A. Karpathy, CS231n notes, "Ratio of weights:updates").
    """
    ratios = epochs[-1].update_ratio
    if not ratios:
        return None
    high, low = max(ratios, key=ratios.__getitem__), min(ratios, key=ratios.__getitem__)
    if ratios[high] > 0.1:
        return (
            f"one step changes {high} by {ratios[high]:.2g} of its norm (usual: about 0.001)",
            "lower optimizer.lr",
        )
    if len(epochs) > 1 and ratios[low] < 1e-6:
        return (
            f"one step changes {low} by {ratios[low]:.2g} of its norm (usual: about 0.001)",
            "raise optimizer.lr, or look for a gradient that does not arrive there",
        )
    return None


@check("batch_norm_drift")
def batch_norm_drift(epochs: list[Vitals]) -> tuple[str, str] | None:
    """A batch norm's running statistics, which evaluation uses, are not those of its batches."""
    drift = epochs[-1].drift
    layer = max(drift, key=drift.__getitem__, default=None)
    if layer is None or epochs[-1].epoch < 2 or drift[layer] < 1.0:
        return None
    return (
        f"batches at {layer} lie {drift[layer]:.1f} standard deviations off its running mean",
        "a larger data.batch_size, a lower optimizer.lr, or a higher model.batch_norm_momentum",
    )


@check("throughput")
def throughput(epochs: list[Vitals]) -> tuple[str, str] | None:
    """Steps are at least twice as slow as they used to be."""
    speeds = [v.steps_per_second for v in epochs if v.steps_per_second]
    if len(speeds) < 5:
        return None
    usual, now = median(speeds[-50:-1]), median(speeds[-2:])
    if now > usual / 2:
        return None
    return (
        f"{now:.0f} steps a second, where {usual:.0f} were usual",
        "see what else runs on this machine (nvidia-smi, top), and whether the data's disk is slow",
    )


def _losses(epochs: list[Vitals], name: str) -> list[float]:
    values = [getattr(one, name) for one in epochs]
    return [value for value in values if value is not None and math.isfinite(value)]


def _fresh(epochs: list[Vitals], name: str) -> list[float]:
    """The values that epochs had; none if the last epoch has none of its own."""
    if getattr(epochs[-1], name) is None:
        return []
    return [value for one in epochs if (value := getattr(one, name)) is not None]
