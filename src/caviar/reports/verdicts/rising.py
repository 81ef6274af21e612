"""Does the training loss rise again? Then the step is too long for where training has come to."""

import numpy as np

from caviar.reports.verdicts.base import Curve, Evidence, Verdict

NAME = "training loss rising"
SHARE = 0.2
BACK = 0.1  # share of the fall that is lost again


def rising(evidence: Evidence) -> Verdict:
    """Warn where a fifth of the complete trials end a tenth of their fall above their lowest."""
    metric = next((m for m in ("train/loss", "train_loss") if m in evidence.metrics), None)
    curves = [evidence.curve(n, metric) for n in evidence.complete.index] if metric else []
    curves = [curve for curve in curves if len(curve) >= 6]
    if len(curves) < 3:
        return Verdict(
            NAME, "unknown", "fewer than 3 trials logged train/loss for 6 epochs or more."
        )
    by_length: dict[int, list[Curve]] = {}
    for curve in curves:
        by_length.setdefault(len(curve), []).append(curve)
    count = sum(int(rises(np.stack(alike)).sum()) for alike in by_length.values())
    told = f"the training loss of {count} of {len(curves)} trials rises towards the end"
    if count < SHARE * len(curves):
        return Verdict(NAME, "pass", f"{told}.")
    key = "optimizer.lr"
    searched = any(h.name == key for h in evidence.space.hyperparameters)
    advice = "search lower learning rates" if searched else "lower the learning rate"
    clip = "trainer.gradient_clip_val"
    command = evidence.rerun(f"{clip}=1.0") if evidence.has(clip) else None
    return Verdict(NAME, "warn", f"{told}: {advice}, or clip the gradient.", command)


def rises(curves: np.ndarray) -> np.ndarray:
    """Whether the median of the last 3 epochs is well above the lowest median of 3.

    Args:
        curves: shape ``(trials, epochs)``.

    Returns:
        Shape ``(trials,)``.
    """
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(curves, 3, axis=1), axis=2)
    lowest = smooth.min(axis=1)
    return smooth[:, -1] > lowest + BACK * np.maximum(smooth[:, 0] - lowest, 1e-12)
