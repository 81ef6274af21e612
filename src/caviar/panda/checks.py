"""Health checks: what may be wrong with a training, told from what its epochs showed.

To add one, write a function here from the history so far to a sentence with numbers and a remedy, or
None, and decorate it with ``@check("its name")``. A check looks at several epochs, or at several looks:
a single one may be chance, and who is warned for nothing reads no warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History

PATIENCE = 8
"""Epochs over which a loss is looked at."""

FITTED = 0.02
"""A training loss below this share of its start is as good as nothing: it need not fall further."""


ANNEALED = 0.3
"""Below this share of the learning rate that a schedule began with, little is meant to happen."""

DEAD = 0.5
"""From this share of a layer's units on, that are 0 for a whole batch, too many are."""


@dataclass(frozen=True)
class Finding:
    """What a check found: its name, a sentence with numbers, and what may help, for a shell."""

    check: str
    sentence: str
    remedy: str


CAUSES = (
    "not_finite",
    "gradient_vanishing",
    "diverging",
    "gradient_exploding",
    "dead_units",
    "update_ratio",
    "batch_norm_drift",
    "overfitting",
    "underfitting",
    "plateau",
)
"""Checks, the deepest cause first: what is found of a later one may come of an earlier one."""

COMES_OF = {*CAUSES} - {"not_finite", "gradient_vanishing", "gradient_exploding", "overfitting"}
"""Checks whose remedy is a guess at a cause, which another check may have found."""

Check = Callable[[History, Remedies], tuple[str, str] | None]

CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check under ``name``."""

    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


def examine(history: History, remedies: Remedies) -> list[Finding]:
    """What all checks find in the epochs so far, the last of which has just ended."""
    found = []
    for name, function in CHECKS.items():
        told = function(history, remedies)
        if told:
            found.append(Finding(name, *told))
    return agreed(found)


def agreed(found: list[Finding]) -> list[Finding]:
    """The findings with remedies that do not contradict one another.

    A loss that stands still asks for a higher learning rate or a lower one, whatever made it do so.
    """
    lead = min((one for one in found if one.check in CAUSES), key=_depth, default=None)
    if lead is None:
        return found
    remedy = f"{lead.remedy.partition('  #')[0]}  # as for {lead.check}"
    return [
        replace(one, remedy=remedy) if one.check in COMES_OF and one != lead else one
        for one in found
    ]


def _depth(finding: Finding) -> int:
    return CAUSES.index(finding.check)


@check("not_finite")
def not_finite(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """A loss is NaN or infinite."""
    last = history.epochs[-1]
    for name, loss in (("training", last.train_loss), ("validation", last.val_loss)):
        if loss is not None and not math.isfinite(loss):
            return f"the {name} loss is {loss} at epoch {last.epoch}", broken(remedies)
    return None


def broken(remedies: Remedies) -> str:
    """What helps a training whose weights are no numbers any more."""
    changes = {"trainer.gradient_clip_val": 1.0}
    if lr := remedies.settings.get("optimizer.lr"):
        changes = {"optimizer.lr": lr / 3, **changes}
    return remedies.undo(otherwise=remedies.begin_again(changes))


@check("diverging")
def diverging(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """The training loss has given back much of what was gained, and keeps rising."""
    losses = history.losses("train_loss")
    if len(losses) < 3:
        return None
    start, lowest, last = _start(history), min(losses), losses[-1]
    rising = losses[-1] > losses[-2] > losses[-3] and last > lowest + 0.2 * (start - lowest)
    lost = min(losses[-2:]) > max(start, losses[0])
    if last < 1.5 * lowest or not (rising or lost):
        return None
    times = f"{last / lowest:.1f} times" if lowest > 0 else "above"
    return (
        f"the training loss rose to {last:.4g}, {times} its lowest ({lowest:.4g})",
        remedies.undo(otherwise=remedies.scale_lr(1 / 3, "a third of what it is")),
    )


@check("plateau")
def plateau(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """Over the last epochs neither loss has become better by 1 %, and there is some left to gain."""
    train, val = history.losses("train_loss"), history.losses("val_loss")
    name, losses = ("validation", val) if val else ("training", train)
    if len(losses) <= PATIENCE or history.epochs[-1].annealed < ANNEALED:
        return None
    if train and train[-1] < FITTED * _start(history):
        return None
    before, since = min(losses[:-PATIENCE]), min(losses[-PATIENCE:])
    half = PATIENCE // 2
    if before - since >= 0.01 * abs(before) > 0:
        return None
    if len(train) > PATIENCE:
        earlier, later = median(train[-PATIENCE:-half]), median(train[-half:])
        if earlier - later >= 0.01 * abs(earlier) > 0:
            return None
    return (
        f"the best {name} loss of the last {PATIENCE} epochs is {since:.4g}, "
        f"of those before {before:.4g}",
        remedies.scale_lr(1 / 2, f"half of it; if that does not help: caviar stop {remedies.run}"),
    )


@check("overfitting")
def overfitting(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """The validation loss has risen and stays up, while the training loss falls.

    It has risen when its median over five epochs is a fifth above its lowest such median, and a
    twentieth of the loss at the start: what is next to nothing may double. A training loss above its
    start has learned nothing, by heart or not.
    """
    val, train = history.losses("val_loss"), history.losses("train_loss")
    if len(val) < 10 or len(train) < 10:
        return None
    medians = [median(val[i : i + 5]) for i in range(len(val) - 4)]
    lowest, now = min(medians), medians[-1]
    risen = now - lowest > max(0.2 * abs(lowest), 0.05 * abs(_start(history)))
    fitted = median(train[-5:])
    if not risen or fitted >= median(train[-10:-5]) or fitted > _start(history):
        return None
    above = f"{100 * (now / lowest - 1):.0f} % above" if lowest > 0 else "above"
    return (
        f"over five epochs the validation loss is {now:.4g}, {above} "
        f"its lowest ({lowest:.4g}), while the training loss fell to {train[-1]:.4g}",
        _regularise(remedies),
    )


def _regularise(remedies: Remedies) -> str:
    best = "the best checkpoint is kept"
    dropout = remedies.settings.get("model.dropout")
    if dropout is not None:
        more = min(0.9, dropout + 0.2)
        return remedies.set("model.dropout", more, f"or caviar stop {remedies.run}: {best}")
    decay = remedies.settings.get("optimizer.weight_decay")
    if decay is not None:
        more = 10 * decay or 1e-3
        return remedies.set(
            "optimizer.weight_decay", more, f"or caviar stop {remedies.run}: {best}"
        )
    return remedies.stop(best)


@check("underfitting")
def underfitting(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """After many epochs the training loss has never been far below its start, and hardly falls."""
    losses, start, half = history.losses("train_loss"), _start(history), PATIENCE // 2
    if len(losses) < PATIENCE or start <= 0:
        return None
    before, now = median(losses[-PATIENCE:-half]), median(losses[-half:])
    if min(losses) < 0.7 * start or now < 0.95 * before or overfitting(history, remedies):
        return None
    return (
        f"after {history.epochs[-1].epoch + 1} epochs the training loss is {now:.4g}, "
        f"from {start:.4g}",
        remedies.undo(otherwise=remedies.scale_lr(1 / 3, "a third of what it is"))
        if now > 1.2 * start
        else _fit(history, remedies),
    )


def _fit(history: History, remedies: Remedies) -> str:
    ratios = [one.update_ratio for one in history.looks() if one.update_ratio]
    ratio = median(ratios[-1].values()) if ratios else None
    if ratio is not None and not 3e-4 <= ratio <= 1e-2:
        why = f"a step changes the weights by {ratio:.2g} of their norm"
        return remedies.scale_lr(1 / 3 if ratio > 1e-2 else 3, why)
    # A smoothed loss has a floor, and it may be close to the start.
    for key in ("model.dropout", "model.loss.label_smoothing"):
        if remedies.settings.get(key):
            return remedies.set(key, 0, "less regularisation; else a larger network")
    return remedies.scale_lr(3, "three times what it is; if that does not help: a larger network")


@check("gradient_exploding")
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


@check("gradient_vanishing")
def gradient_vanishing(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """The gradient is next to nothing, or fades a thousandfold between the last layer and the first."""
    losses = history.losses("train_loss")
    looks = [one.gradients for one in history.looks()[-2:] if one.gradients]
    if len(looks) < 2 or not history.epochs[-1].gradients:
        return None
    if losses and losses[-1] < FITTED * _start(history):
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
    if _most(history, "dead")[1] >= DEAD:
        why = "then begin again with a lower optimizer.lr, batch norm or leaky_relu"
    return sentence, remedies.undo(otherwise=remedies.stop(why))


def _ends(gradients: dict[str, float]) -> tuple[tuple[str, float], tuple[str, float]]:
    """The first and the last layer, with their gradients' norms."""
    layers = list(gradients.items())
    return (layers[0], layers[-1]) if layers else (("", 0.0), ("", 0.0))


@check("dead_units")
def dead_units(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """In some layer, half of the units are 0 for every sample of a batch."""
    layer, share = _most(history, "dead")
    if share < DEAD:
        return None
    return (
        f"{100 * share:.0f} % of the units of {layer} are 0 for a whole batch",
        remedies.scale_lr(1 / 3, "so that no more die; the next run: batch norm or leaky_relu"),
    )


@check("update_ratio")
def update_ratio(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """A step changes a layer's weights by far more or less than a thousandth of them.

    About 1e-3 is usual (A. Karpathy, CS231n notes, "Ratio of weights:updates").
    """
    layer, high = _most(history, "update_ratio")
    if high > 0.1:
        return (
            f"one step changes {layer} by {high:.2g} of its norm (usual: about 0.001)",
            remedies.scale_lr(0.01 / high, "for a hundredth of the norm"),
        )
    layer, low = _most(history, "update_ratio", largest=False)
    if low < 1e-6 and history.epochs[-1].annealed >= ANNEALED:
        return (
            f"one step changes {layer} by {low:.2g} of its norm (usual: about 0.001)",
            remedies.scale_lr(10, "if the gradient arrives there at all"),
        )
    return None


@check("batch_norm_drift")
def batch_norm_drift(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """A batch norm's running statistics, which evaluation uses, are not those of its batches.

    They begin as 0 and 1; by the usual momentum of 0.1 the beginning is forgotten in 50 steps.
    """
    if history.epochs[-1].steps < 50:
        return None
    remedy = remedies.scale_lr(1 / 3, "the next run: a larger batch, or batch norm's momentum")
    layer, shift = _most(history, "shift")
    if shift >= 1.0:
        return (
            f"batches at {layer} lie {shift:.1f} standard deviations off its running mean",
            remedy,
        )
    for largest in (True, False):
        layer, spread = _most(history, "spread", largest)
        if (spread >= 2.0) if largest else (spread <= 0.5):
            return f"batches at {layer} spread {spread:.2g} times as wide as it remembers", remedy
    return None


@check("throughput")
def throughput(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """For three epochs and three seconds, steps have been less than half as fast as they used to be."""
    speeds = [(one.steps_per_second, one.seconds) for one in history.epochs if one.seconds]
    slow, seconds = 0, 0.0
    while slow < len(speeds) and (slow < 3 or seconds < 3.0):
        slow += 1
        seconds += speeds[-slow][1] or 0.0
    before, since = speeds[:-slow], [speed or 0.0 for speed, _ in speeds[-slow:]]
    if len(before) < 4 or 2 * max(since) >= (usual := median(speed or 0.0 for speed, _ in before)):
        return None
    return (
        f"{median(since):.0f} steps a second, where {usual:.0f} were usual",
        "top  # what else runs here? (a GPU: nvidia-smi; slow data: iostat)",
    )


def _start(history: History) -> float:
    """The loss at the start; where the first step's is not known, the first epoch's."""
    if history.start is not None and math.isfinite(history.start):
        return history.start
    return next(iter(history.losses("train_loss")), 0.0)


def _most(history: History, name: str, largest: bool = True) -> tuple[str, float]:
    """The layer with the largest (or smallest) value, the milder of the last two looks.

    Where there were no two looks, or none at this epoch: a value that no check minds.
    """
    pick, milder = (max, min) if largest else (min, max)
    looks = [getattr(one, name) for one in history.looks()[-2:]]
    if len(looks) < 2 or not getattr(history.epochs[-1], name):
        return "", 0.0 if largest else math.inf
    both = {k: milder(v, looks[-2].get(k, v)) for k, v in looks[-1].items()}
    layer = pick(both, key=both.__getitem__)
    return layer, both[layer]
