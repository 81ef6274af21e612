"""The metrics of all lanes at once, with the values that torchmetrics gives.

A metric that has no stacked form here is computed by torchmetrics, lane by lane, on the host; and so is
each of a lane whose probabilities are no numbers. All others leave a GPU by one copy: none waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caviar.base.errors import usage_error
from caviar.base.security import instantiate

_WHOLE = 2.0**40


class Targets:
    """What the samples of the validation part are, the same in every lane and at every validation.

    Args:
        classes: of each sample, shape ``(samples,)``, on the host.
        num_classes: how many there are.
        device: where metrics are computed.

    Attributes:
        members: samples of each class, shape ``(classes,)``.
        rows: their numbers, shape ``(classes, most)``; those beyond a class's own are not ``real``.
    """

    def __init__(self, classes: Tensor, num_classes: int, device: str = "cpu") -> None:
        self.host = classes
        self.classes = classes.to(device)
        members = torch.bincount(classes, minlength=num_classes)
        self.members = members.float().to(device)
        of_class = torch.argsort(classes, stable=True)
        starts = members.cumsum(0) - members
        place = torch.arange(int(members.max())).expand(len(members), -1)
        real = place < members[:, None]
        # The first member is repeated where a class has fewer than the largest one.
        rows = of_class[(starts[:, None] + place.where(real, 0)).clamp(max=len(of_class) - 1)]
        self.rows, self.real = rows.to(device), real.to(device)


class Outputs:
    """What the networks gave for the validation part.

    Args:
        probabilities: shape ``(lanes, classes, samples)``: sums over a few classes are then fast.
        targets: what the samples are.

    Attributes:
        predicted: the likeliest class, shape ``(lanes, samples)``, and ``confidence``, its chance.
    """

    def __init__(self, probabilities: Tensor, targets: Targets) -> None:
        self.probabilities = probabilities
        self.targets = targets
        self.members = targets.members
        self.confidence, self.predicted = probabilities.max(dim=1)

    @cached_property
    def right(self) -> Tensor:
        """Which predictions are right, shape ``(lanes, samples)``."""
        return self.predicted == self.targets.classes

    @cached_property
    def hits(self) -> Tensor:
        """Samples of each class that were found, shape ``(lanes, classes)``."""
        return self._count(self.targets.classes.expand_as(self.predicted), self.right)

    @cached_property
    def guesses(self) -> Tensor:
        """Samples that were said to be of each class, shape ``(lanes, classes)``."""
        return self._count(self.predicted, torch.ones_like(self.right))

    def _count(self, classes: Tensor, which: Tensor) -> Tensor:
        counts = torch.zeros(len(classes), self.probabilities.shape[1], device=classes.device)
        return counts.scatter_add_(1, classes, which.float())


def accuracy(outputs: Outputs, average: str = "macro") -> Tensor:
    """Share of the samples that are right; ``macro``: the mean of that share over classes."""
    if average == "micro":
        return outputs.hits.sum(1) / outputs.members.sum()
    hits, guesses, members = outputs.hits, outputs.guesses, outputs.members
    return _macro(_divide(hits, members.expand_as(hits)), guesses + members)


def f1(outputs: Outputs, average: str = "macro") -> Tensor:
    """Harmonic mean of precision and recall; ``micro`` is accuracy."""
    if average == "micro":
        return outputs.hits.sum(1) / outputs.members.sum()
    both = outputs.guesses + outputs.members
    return _macro(_divide(2 * outputs.hits, both), both)


def calibration_error(outputs: Outputs, n_bins: int = 15) -> Tensor:
    """Expected calibration error: how far confidence is from accuracy, in bins of confidence."""
    confidence = outputs.confidence.float()
    edges = torch.linspace(0, 1, n_bins + 1, device=confidence.device)
    bins = torch.bucketize(confidence, edges, right=True) - 1
    # As whole numbers, which they are in steps of 2**-40: no order of adding changes what comes of it.
    whole = (confidence.double() * _WHOLE).round().long()
    count, sure, right = (
        torch.zeros(len(bins), n_bins + 1, dtype=torch.int64, device=bins.device)
        .scatter_add_(1, bins, what)
        .double()
        for what in (torch.ones_like(bins), whole, outputs.right.long())
    )
    gap = (right.div(count).nan_to_num() - (sure / _WHOLE).div(count).nan_to_num()).abs()
    return (gap * (count / count.sum(1, keepdim=True))).sum(1).float()


def auroc(outputs: Outputs) -> Tensor:
    """Area under the ROC curve, one class against the rest, the mean over classes.

    It is the chance that a member scores above another, a tie counting half (Hanley and McNeil, 1982).
    """
    rows, real = outputs.targets.rows, outputs.targets.real
    scores = outputs.probabilities.contiguous()
    positives = scores.gather(2, rows.expand(len(scores), -1, -1))
    ordered = _sort(scores)
    below = torch.searchsorted(ordered, positives)
    # To ask a GPU whether there are ties takes longer than to look for them.
    ties = scores.is_cuda or bool((ordered[..., 1:] == ordered[..., :-1]).any())
    up_to = torch.searchsorted(ordered, positives, right=True) if ties else below + 1
    ranks = ((below + up_to + 1) * real).sum(2).double() / 2
    positive = outputs.members.double()
    negative = scores.shape[2] - positive
    above = ranks - positive * (positive + 1) / 2
    return _divide(above, (positive * negative).expand_as(above)).mean(1).float()


def _sort(scores: Tensor) -> Tensor:
    if scores.is_cuda:
        return scores.sort(dim=-1).values
    return torch.from_numpy(np.sort(scores.numpy(), axis=-1))  # many times as fast as torch's


def _divide(top: Tensor, bottom: Tensor) -> Tensor:
    return torch.where(
        bottom != 0, top / bottom, torch.zeros((), dtype=top.dtype, device=top.device)
    )


def _macro(scores: Tensor, seen: Tensor) -> Tensor:
    """The mean over the classes that were in the data or guessed."""
    weights = (seen > 0).to(scores.dtype)
    return (weights * scores / weights.sum(1, keepdim=True)).sum(1)


STACKED: dict[str, tuple[Callable[..., Tensor], Mapping[str, tuple[Any, ...] | None]]] = {
    "MulticlassAccuracy": (accuracy, {"average": ("micro", "macro")}),
    "MulticlassF1Score": (f1, {"average": ("micro", "macro")}),
    "MulticlassCalibrationError": (calibration_error, {"n_bins": None}),
    "MulticlassAUROC": (auroc, {"average": ("macro",)}),
}
"""Metric -> its stacked form, and the settings it knows with the values they may have (None: any)."""


ByLane = Callable[[Tensor, Tensor], Tensor]
"""``(lanes, samples, classes)`` and ``(samples,)`` -> ``(lanes,)``, all on the host."""


class Metrics:
    """Computes a config's metrics.

    Args:
        settings: name -> ``_target_`` and arguments of a torchmetrics metric.
        num_classes: is added to the arguments.
    """

    def __init__(self, settings: Mapping[str, Mapping[str, Any]], num_classes: int) -> None:
        self._stacked: dict[str, Callable[[Outputs], Tensor] | None] = {}
        self._by_lane: dict[str, Callable[[], ByLane]] = {}
        for name in sorted(settings):  # the order of torchmetrics' collections
            self._stacked[name] = _stacked(dict(settings[name]))
            self._by_lane[name] = cache(partial(_by_lane, name, dict(settings[name]), num_classes))
            if self._stacked[name] is None:
                self._by_lane[name]()  # now: what it says of its settings is known before training

    def launch(self, outputs: Outputs, also: Sequence[Tensor] = ()) -> Tensor:
        """Compute, where the outputs are, all that has a stacked form; the host waits for nothing.

        Args:
            also: other numbers of the lanes, ``(lanes,)`` each.

        Returns:
            in double precision, ``(rows, lanes)``: ``also``, the metrics, and whether a lane's
            probabilities are no numbers.
        """
        stacked = [compute(outputs) for compute in self._stacked.values() if compute is not None]
        found = [*also, *stacked, outputs.confidence.isnan().any(1)]
        return torch.stack([values.double() for values in found])

    def read(
        self, rows: Tensor, probabilities: Tensor, targets: Targets, also: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """What was launched, and all other metrics, by name: in double precision, ``(lanes,)`` each.

        Args:
            rows: as `launch` gave them, on the host.
            probabilities, targets: see `Outputs`.
            also: the names of its ``also``.
        """

        def by_lane(name: str, which: Any = slice(None)) -> Tensor:
            return self._by_lane[name]()(on_host()[which], targets.host)

        on_host = cache(lambda: probabilities.cpu().transpose(1, 2))
        stacked = [name for name, compute in self._stacked.items() if compute is not None]
        *known, ill = rows
        values = dict(zip((*also, *stacked), known, strict=True))
        ill = ill.bool()
        if ill.any():
            # What torchmetrics makes of NaN hangs on how it sorts; the stacked forms have another way.
            for name in stacked:
                values[name][ill] = by_lane(name, ill)
        for name in self._stacked.keys() - set(stacked):
            values[name] = by_lane(name)
        return {name: values[name] for name in (*also, *self._stacked)}


def _stacked(settings: dict[str, Any]) -> Callable[[Outputs], Tensor] | None:
    target = str(settings.pop("_target_"))
    settings.pop("validate_args", None)
    package, _, name = target.rpartition(".")
    if package != "torchmetrics.classification" or name not in STACKED:
        return None
    compute, known = STACKED[name]
    for key, value in settings.items():
        if key not in known or (known[key] is not None and value not in known[key]):  # type: ignore[operator]
            return None
    if name == "MulticlassAUROC":
        settings.pop("average", None)
    return lambda outputs: compute(outputs, **settings)


def _by_lane(name: str, settings: dict[str, Any], num_classes: int) -> ByLane:
    metric = instantiate({**settings, "num_classes": num_classes}, _convert_="all")

    def compute(probabilities: Tensor, targets: Tensor) -> Tensor:
        values = []
        for own in probabilities:
            metric.update(own, targets)
            values.append(metric.compute())
            metric.reset()
            if values[-1].numel() != 1:
                why = f"gives {values[-1].numel()} values, not one"
                raise usage_error(f"metrics.{name}", settings["_target_"], why)
        return torch.stack(values).double().reshape(-1)

    return compute
