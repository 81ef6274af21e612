"""What the learning curves say: trained too long, too fast, by heart?"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from caviar.reports.evidence import Curve, Evidence
from caviar.reports.noise import late_jitter, long_curves
from caviar.reports.verdicts.base import Found, named, short

TIMES = 2.0
LEAST = 0.01
RISING = 0.2
BACK = 0.1  # share of the fall that is lost again
LATE = 0.05  # of what training gained


@named("training too short")
def longer(evidence: Evidence) -> Found:
    """Warn where most of the top trials have their best epoch in the last quarter."""
    return _judged(
        evidence, "last quarter", lambda place: place > 0.75,
        "train longer", lambda epochs: 2 * epochs,
    )  # fmt: skip


@named("training too long")
def shorter(evidence: Evidence) -> Found:
    """Warn where most of the top trials have their best epoch in the first tenth: the rest was wasted."""
    return _judged(
        evidence, "first tenth", lambda place: place <= 0.1,
        "train shorter, or decay the learning rate", lambda epochs: max(1, epochs // 4),
    )  # fmt: skip


def _judged(
    evidence: Evidence,
    part: str,
    within: Callable[[float], bool],
    advice: str,
    instead: Callable[[int], int],
) -> Found:
    """Warn where more than half of the best epochs lie within a part of the training."""
    found = _best_epochs(evidence)
    if len(found) < 3:
        return "unknown", "fewer than 3 top trials of 4 epochs or more tell their best epoch."
    count = sum(map(within, found))
    finding = f"{count} of the {len(found)} best trials had their best epoch in the {part}"
    if count * 2 <= len(found):
        return "pass", f"{finding}."
    epochs = evidence.config_value("trainer.max_epochs")
    known = isinstance(epochs, int) and epochs > 0
    command = evidence.rerun(f"trainer.max_epochs={instead(epochs)}") if known else None
    return "warn", f"{finding}: {advice}.", command


def _best_epochs(evidence: Evidence) -> list[float]:
    """Best epoch as a share of the training, in (0, 1], of top trials that trained 4 epochs or more."""
    if evidence.metrics.empty:
        return []
    if evidence.averaged is not None:
        # The epochs on record are the last, whichever is the best.
        curves = [evidence.curve(n, evidence.metric or "") for n in evidence.top.index]
        losses = [evidence.sign * curve for curve in curves if len(curve) >= 4]
        return [(int(np.argmin(loss)) + 1) / len(loss) for loss in losses]
    last = evidence.metrics.groupby("trial")["epoch"].max()
    table = evidence.top["best_epoch"].dropna()
    return [
        (int(epoch) + 1) / (int(last[n]) + 1)
        for n, epoch in table.items()
        if n in last.index and last[n] >= 3
    ]


@named("training and validation apart")
def gap(evidence: Evidence) -> Found:
    """Is validation much worse than training? Then the model learns the training set by heart.

    Warn where the top trials' validation error, or loss, is over twice the training one.
    """
    for metric in dict.fromkeys([evidence.metric, "val/loss", "val_loss"]):
        twin = evidence.twin(metric)
        if metric is None or twin is None:
            continue
        found = (_pair(evidence, n, metric, twin) for n in evidence.top.index)
        pairs = [pair for pair in found if pair is not None]
        if len(pairs) < 3:
            continue
        train, val = np.median(np.array(pairs), axis=0)
        finding = (
            f"at the best epoch {metric} is {short(val)} and {twin} {short(train)} "
            f"(median of {len(pairs)})"
        )
        share = evidence.sign < 0 and metric == evidence.metric
        bad, good = (1 - val, 1 - train) if share else (val, train)
        if bad <= TIMES * max(good, 0) + LEAST:
            return "pass", f"{finding}."
        # What is searched already is for zoom to move.
        searched = {h.name.lstrip("+") for h in evidence.space.hyperparameters}
        keys = [k for k in ("model.dropout", "optimizer.weight_decay") if evidence.has(k)]
        key = next((k for k in keys if k not in searched), None)
        new = {"model.dropout": "interval(0.2, 0.7)"}.get(key or "", "tag(log, interval(1e-4, 1))")
        command = evidence.rerun(f"{key}={new}") if key else None
        return "warn", f"{finding}: regularise more, or get more data.", command
    return ("unknown", "fewer than 3 top trials logged a metric for both training and validation.")


def _pair(evidence: Evidence, number: int, metric: str, twin: str) -> tuple[float, float] | None:
    train, val = evidence.curve(number, twin), evidence.curve(number, metric)
    if len(train) == 0 or len(train) != len(val):
        return None
    best = evidence.trials["best_epoch"].get(number)
    index = len(val) - 1 if pd.isna(best) or best >= len(val) else int(best)
    return train[index], val[index]


@named("training loss rising")
def rising(evidence: Evidence) -> Found:
    """Does the training loss rise again? Then the step is too long for where training has come to.

    Warn where a fifth of the complete trials end a tenth of their fall above their lowest.
    """
    metric = next((m for m in ("train/loss", "train_loss") if m in evidence.metrics), None)
    curves = [evidence.curve(n, metric) for n in evidence.complete.index] if metric else []
    curves = [curve for curve in curves if len(curve) >= 6]
    if len(curves) < 3:
        return "unknown", "fewer than 3 trials logged train/loss for 6 epochs or more."
    by_length: dict[int, list[Curve]] = {}
    for curve in curves:
        by_length.setdefault(len(curve), []).append(curve)
    count = sum(int(rises(np.stack(alike)).sum()) for alike in by_length.values())
    finding = f"the training loss of {count} of {len(curves)} trials rises towards the end"
    if count < RISING * len(curves):
        return "pass", f"{finding}."
    key = "optimizer.lr"
    searched = any(h.name == key for h in evidence.space.hyperparameters)
    advice = "search lower learning rates" if searched else "lower the learning rate"
    clip = "trainer.gradient_clip_val"
    command = evidence.rerun(f"{clip}=1.0") if evidence.has(clip) else None
    return "warn", f"{finding}: {advice}, or clip the gradient.", command


def rises(curves: np.ndarray) -> np.ndarray:
    """Whether the median of the last 3 epochs is well above the lowest median of 3.

    Args:
        curves: shape ``(trials, epochs)``.
    """
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(curves, 3, axis=1), axis=2)
    lowest = smooth.min(axis=1)
    return smooth[:, -1] > lowest + BACK * np.maximum(smooth[:, 0] - lowest, 1e-12)


@named("late variance")
def late(evidence: Evidence) -> Found:
    """Does the metric still jump about at the end? Then the epoch that is scored is partly luck.

    Warn where the top trials' metric jumps by over 5 % of what training gained, late in training.
    """
    curves = long_curves(evidence)
    if not curves:
        return "unknown", "fewer than 3 top trials logged the metric for 8 epochs."
    noise = late_jitter(curves)
    gain = float(np.median([np.ptp(curve) for curve in curves]))
    finding = (
        f"in the last third of training {evidence.metric} varies by {short(noise)} (standard deviation "
        f"about its trend), {noise / max(gain, 1e-12):.0%} of what training gained"
    )
    count = evidence.averaged or 1
    if noise / count**0.5 <= LATE * gain:
        averages = f", and a score is the mean of {count}" if count > 1 else ""
        return "pass", f"{finding}{averages}."
    which = "best" if evidence.averaged is None else "last"
    # A schedule that decays the learning rate gained nothing on the tasks of `scripts/bench advice`.
    command = f"caviar confirm {evidence.name}"
    return "warn", f"{finding}: the {which} epoch is partly luck.", command
