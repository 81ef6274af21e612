"""Checks of a training's course: its losses, epoch by epoch, and its speed."""

from __future__ import annotations

import math
from statistics import median

from caviar.panda.checks.base import ANNEALED, FITTED, PATIENCE, start_of
from caviar.panda.remedies import Remedies
from caviar.panda.vitals import History


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


def diverging(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """The training loss has given back much of what was gained, and keeps rising."""
    losses = history.losses("train_loss")
    if len(losses) < 3:
        return None
    start, lowest, last = start_of(history), min(losses), losses[-1]
    rising = losses[-1] > losses[-2] > losses[-3] and last > lowest + 0.2 * (start - lowest)
    lost = min(losses[-2:]) > max(start, losses[0])
    if last < 1.5 * lowest or not (rising or lost):
        return None
    times = f"{last / lowest:.1f} times" if lowest > 0 else "above"
    return (
        f"the training loss rose to {last:.4g}, {times} its lowest ({lowest:.4g})",
        remedies.undo(otherwise=remedies.scale_lr(1 / 3, "a third of what it is")),
    )


def plateau(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """Over the last epochs neither loss has become better by 1 %, and there is some left to gain."""
    train, val = history.losses("train_loss"), history.losses("val_loss")
    name, losses = ("validation", val) if val else ("training", train)
    if len(losses) <= PATIENCE or history.epochs[-1].annealed < ANNEALED:
        return None
    if train and train[-1] < FITTED * start_of(history):
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
    risen = now - lowest > max(0.2 * abs(lowest), 0.05 * abs(start_of(history)))
    fitted = median(train[-5:])
    if not risen or fitted >= median(train[-10:-5]) or fitted > start_of(history):
        return None
    above = f"{100 * (now / lowest - 1):.0f} % above" if lowest > 0 else "above"
    return (
        f"over five epochs the validation loss is {now:.4g}, {above} "
        f"its lowest ({lowest:.4g}), while the training loss fell to {train[-1]:.4g}",
        _regularise(remedies),
    )


def _regularise(remedies: Remedies) -> str:
    kept, why = "the best checkpoint is kept", f"or caviar stop {remedies.run}"
    settings = remedies.settings
    if (dropout := settings.get("model.dropout")) is not None:
        return remedies.set("model.dropout", min(0.9, dropout + 0.2), f"{why}: {kept}")
    if (decay := settings.get("optimizer.weight_decay")) is not None:
        return remedies.set("optimizer.weight_decay", 10 * decay or 1e-3, f"{why}: {kept}")
    return remedies.stop(kept)


def underfitting(history: History, remedies: Remedies) -> tuple[str, str] | None:
    """After many epochs the training loss has never been far below its start, and hardly falls."""
    losses, start, half = history.losses("train_loss"), start_of(history), PATIENCE // 2
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
