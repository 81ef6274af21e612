"""Checks of a network's insides: its gradients, its layers' units, and what steps do to its weights."""

from __future__ import annotations

import math
from statistics import median

from caviar.panda.checks.base import ANNEALED, DEAD, FITTED, most_of, start_of
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History


def gradient_exploding(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """The gradient is not finite, 30 times its usual norm, or grows a thousandfold between layers."""
    last = history.epochs[-1]
    if last.grad_norm is None:
        return None
    norms = [n for one in history.looks()[:-1] if (n := one.grad_norm) and math.isfinite(n)]
    usual = median(norms) if len(norms) >= 3 else None
    first, final = _ends(last.gradients)
    if not math.isfinite(last.grad_norm) or (usual and last.grad_norm >= 30 * usual):
        usually = f" (usually {usual:.3g})" if usual else ""
        sentence = f"the gradient's norm is {last.grad_norm:.3g}{usually}"
    elif first[1] > 1000 * final[1] > 0:
        sentence = (
            f"the gradient grows from {final[1]:.2g} at {final[0]} to {first[1]:.2g} at {first[0]}"
        )
    else:
        return None
    clip = remedies.settings.get("trainer.gradient_clip_val")
    if clip or not math.isfinite(last.grad_norm):
        return sentence, remedies.undo(otherwise=remedies.scale_lr(1 / 3, "a third of what it is"))
    value = 2 * usual if usual else 1.0
    return sentence, remedies.set("trainer.gradient_clip_val", value, "or a lower optimizer.lr")


def gradient_vanishing(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """The gradient is next to nothing, or fades a thousandfold between the last layer and the first."""
    losses = history.losses("train_loss")
    looks = [one.gradients for one in history.looks()[-2:] if one.gradients]
    if len(looks) < 2 or not history.epochs[-1].gradients:
        return None
    if losses and losses[-1] < FITTED * start_of(history):
        return None
    first, final = max(map(_ends, looks), key=lambda ends: ends[0][1])
    if max(max(look.values()) for look in looks) < 1e-6:
        sentence = f"no layer's gradient has a norm above {max(looks[-1].values()):.3g}"
    elif first[1] < 1e-3 * final[1]:
        sentence = (
            f"the gradient fades from {final[1]:.2g} at {final[0]} to {first[1]:.2g} at {first[0]}"
        )
    else:
        return None
    why = "then begin again with batch norm, relu or gelu, or fewer layers"
    if most_of(history, "dead")[1] >= DEAD:
        why = "then begin again with a lower optimizer.lr, batch norm or leaky_relu"
    return sentence, remedies.undo(otherwise=remedies.stop(why))


def _ends(gradients: dict[str, float]) -> tuple[tuple[str, float], tuple[str, float]]:
    """The first and the last layer, with their gradients' norms."""
    layers = list(gradients.items())
    return (layers[0], layers[-1]) if layers else (("", 0.0), ("", 0.0))


def dead_units(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """In some layer, half of the units are 0 for every sample of a batch."""
    layer, share = most_of(history, "dead")
    if share < DEAD:
        return None
    return (
        f"{100 * share:.0f} % of the units of {layer} are 0 for a whole batch",
        remedies.scale_lr(1 / 3, "so that no more die; the next run: batch norm or leaky_relu"),
    )


def update_ratio(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """A step changes a layer's weights by far more or less than a thousandth of them.

    About 1e-3 is usual (A. Karpathy, CS231n notes, "Ratio of weights:updates").
    """
    layer, high = most_of(history, "update_ratio")
    if high > 0.1:
        return (
            f"one step changes {layer} by {high:.2g} of its norm (usual: about 0.001)",
            remedies.scale_lr(0.01 / high, "for a hundredth of the norm"),
        )
    layer, low = most_of(history, "update_ratio", largest=False)
    if low < 1e-6 and history.epochs[-1].annealed >= ANNEALED:
        return (
            f"one step changes {layer} by {low:.2g} of its norm (usual: about 0.001)",
            remedies.scale_lr(10, "if the gradient arrives there at all"),
        )
    return None


def batch_norm_drift(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """A batch norm's running statistics, which evaluation uses, are not those of its batches.

    They begin as 0 and 1; by the usual momentum of 0.1 the beginning is forgotten in 50 steps.
    """
    if history.epochs[-1].steps < 50:
        return None
    remedy = remedies.scale_lr(1 / 3, "the next run: a larger batch, or batch norm's momentum")
    layer, shift = most_of(history, "shift")
    if shift >= 1.0:
        return (
            f"batches at {layer} lie {shift:.1f} standard deviations off its running mean",
            remedy,
        )
    for largest in (True, False):
        layer, spread = most_of(history, "spread", largest)
        if (spread >= 2.0) if largest else (spread <= 0.5):
            return f"batches at {layer} spread {spread:.2g} times as wide as it remembers", remedy
    return None
