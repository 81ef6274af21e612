"""What a saved run says of its validation part: classes confused, confidence against truth, residuals.

Its module's own ``validation_step`` is run once more. What that hands to its torchmetrics metrics are
predictions and targets, whatever the module is: nothing else describes them a second time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torchmetrics import Metric

from caviar.base.errors import UsageError
from caviar.lightning.alone import evaluator
from caviar.lightning.quiet import quiet
from caviar.lightning.saved import open_run

LARGEST = 50_000
"""Samples; a larger validation part is not gone through for a report."""
MOST_CLASSES = 40
BINS = 10
POINTS = 1_000
"""Residuals that are listed one by one."""

Pairs = list[tuple[NDArray[Any], NDArray[Any]]]


def judge(run: Path) -> dict[str, Any]:
    """What the best checkpoint of the run in folder ``run`` makes of the validation part.

    Returns:
        ``samples`` and, of a classifier, ``classes``, ``confusion`` (truth by prediction) and
        ``reliability`` (Guo et al. 2017: ``[confidence, accuracy, samples]`` of each tenth of the
        confidences); of a regression ``residuals``: ``[predicted, truth less predicted]`` of some samples.

    Raises:
        UsageError: the run cannot be read, or its metrics take neither classes nor numbers.
    """
    saved = open_run(run, read_data=True)
    classes = getattr(saved.data, "classes", None)
    kind, predicted, truth = _predictions(saved.module, saved.data)
    if kind == "numbers":
        return {"samples": len(truth), "residuals": _residuals(predicted, truth)}
    probabilities = predicted if predicted.ndim == 2 else np.stack([1 - predicted, predicted], 1)
    count = probabilities.shape[1]
    if count > MOST_CLASSES:
        raise UsageError(f"{count} classes; a matrix of {MOST_CLASSES} at most can be read")
    names = [str(name) for name in classes] if classes is not None else []
    guessed, confidence = probabilities.argmax(1), probabilities.max(1)
    confusion = np.zeros((count, count), int)
    np.add.at(confusion, (truth.astype(int), guessed), 1)
    return {
        "samples": len(truth),
        "classes": names if len(names) == count else [*map(str, range(count))],
        "confusion": confusion.tolist(),
        "reliability": _reliability(confidence, guessed == truth),
    }


def _reliability(confidence: NDArray[Any], right: NDArray[Any]) -> list[list[float]]:
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        [float(confidence[mine].mean()), float(right[mine].mean()), int(mine.sum())]
        for mine in (place == each for each in range(BINS))
        if mine.any()
    ]


def _residuals(predicted: NDArray[Any], truth: NDArray[Any]) -> list[list[float]]:
    order = np.argsort(predicted, kind="stable")
    if len(order) > POINTS:  # evenly through the predictions
        order = order[np.linspace(0, len(order) - 1, POINTS).astype(int)]
    return [[float(p), float(t - p)] for p, t in zip(predicted[order], truth[order], strict=True)]


def _predictions(module: LightningModule, data: Any) -> tuple[str, NDArray[Any], NDArray[Any]]:
    """``classes`` or ``numbers``, with predictions ``(samples,)`` or ``(samples, classes)`` and targets."""
    heard: list[tuple[str, Pairs]] = []
    for metric in module.modules():
        if isinstance(metric, Metric) and (kind := _kind(metric)):
            heard.append((kind, _heard_by(metric, kind)))
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were heard when it trained
        evaluator(_Enough(), "cpu").validate(module, datamodule=data, verbose=False)
    # Metrics that compute the same share an update: whichever was given all of it.
    kind, pairs = max(heard, key=lambda one: len(one[1]), default=("", []))
    if not pairs:
        raise UsageError(
            f"{type(module).__name__} has no metric of one class a sample, or of one number"
        )
    predicted, truth = (np.concatenate(part) for part in zip(*pairs, strict=True))
    if not np.isfinite(predicted).all():
        raise UsageError("some of its predictions are no numbers")
    return kind, predicted, truth


def _kind(metric: Metric) -> str | None:
    home, name = type(metric).__module__, type(metric).__name__
    if home.startswith("torchmetrics.regression"):
        return "numbers"
    one = name.startswith(("Multiclass", "Binary"))
    return "classes" if one and home.startswith("torchmetrics.classification") else None


def _heard_by(metric: Metric, kind: str) -> Pairs:
    """What a metric is given from now on, as far as it is probabilities and classes, or numbers."""
    update: Callable[..., None] = metric.update
    pairs: Pairs = []

    def keeping(preds: Any, target: Any, *more: Any, **named: Any) -> None:
        update(preds, target, *more, **named)
        if not isinstance(preds, torch.Tensor) or not preds.is_floating_point():
            return
        if preds.ndim in (1, 2) and target.ndim == 1 and len(preds) == len(target):
            found = preds.detach().cpu().double()
            if kind == "classes" and not bool(((found >= 0) & (found <= 1)).all()):
                # Logits: made probabilities, as torchmetrics does.
                found = found.softmax(-1) if found.ndim == 2 else found.sigmoid()
            pairs.append((found.numpy(), target.detach().cpu().double().numpy()))

    metric.update = keeping  # type: ignore[method-assign]
    return pairs


class _Enough(Callback):
    """Ends a validation that has had `LARGEST` samples."""

    def __init__(self) -> None:
        self.samples = 0

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        first = batch[0] if isinstance(batch, list | tuple) and batch else batch
        self.samples += len(first) if isinstance(first, torch.Tensor) else 1
        if self.samples > LARGEST:
            raise UsageError(f"its validation part has more than {LARGEST} samples")
