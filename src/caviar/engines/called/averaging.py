"""Averages of weights beside them, as Lightning's `WeightAveraging` keeps: a lane's, and those of many."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging
from torch import Tensor

from caviar.base.private import averaging_of
from caviar.engines.called.refusals import overridden
from caviar.engines.experiment import NotFusibleError
from caviar.engines.stacked.copies import sent

_EMA = "get_ema_avg_fn.<locals>.ema_update"


class Averaging:
    """One lane's average: what is validated and kept of it, in the place of its weights.

    Args:
        callback: Lightning's, which says when the average takes in the weights.

    Attributes:
        tensors: the average of each parameter and buffer, by name; views of its bank's while it is in one.
        decay: of an exponential moving average; None of an equally weighted one.
        count: how often it was taken.

    Raises:
        NotFusibleError: it averages in a way that lanes do not know.
    """

    monitors = stepwise = False

    def __init__(self, callback: WeightAveraging) -> None:
        kind = type(callback)
        known: type = (
            EMAWeightAveraging if isinstance(callback, EMAWeightAveraging) else WeightAveraging
        )
        for name in dir(Callback):
            if not name.startswith("_") and getattr(kind, name) is not getattr(known, name):
                raise NotFusibleError(f"{name} is its own")
        self._callback = callback
        self.uses_buffers, arguments = averaging_of(callback)
        self.decay = _decay(arguments)
        self.tensors: dict[str, Tensor] = {}
        self.count = 0
        self._step, self._epoch = 0, -1

    @property
    def kind(self) -> tuple[Any, ...]:
        """Averages of the same can be taken together; they may differ in `decay`."""
        dtypes = tuple(own.dtype for own in self.tensors.values())
        return "average", self.uses_buffers, self.decay is None, dtypes

    def call(self, hook: str, lane: Any) -> None:
        if hook == "setup":
            self._begin(lane)
        elif hook == "on_fit_start":
            self._check(lane)
        elif hook in ("on_validation_epoch_start", "on_validation_epoch_end"):
            for own, average in self._pairs(lane):
                kept = average.clone()
                average.copy_(own)
                own.copy_(kept)
        elif hook == "on_train_epoch_end":
            epoch = lane.trainer.current_epoch
            if epoch > self._epoch and self._callback.should_update(epoch_idx=epoch):
                alone = {name: own[None] for name, own in self.tensors.items()}
                current = {
                    name: own.data[None] for name, own in lane.named_tensors() if name in alone
                }
                parameters = frozenset(dict(lane.module.named_parameters()))
                _update([self], alone, current, parameters, [0], _decays([self]))
                self._epoch = epoch
        elif hook == "on_train_end":
            for own, average in self._pairs(lane):
                own.copy_(average)

    def _begin(self, lane: Any) -> None:
        if overridden(lane.module, "configure_model"):
            raise NotFusibleError("of a module that has configure_model")
        # As they are before a Trainer turns them into double precision: it leaves the average as it is.
        self.tensors = {name: own.detach().clone() for name, own in lane.named_tensors()}

    def _check(self, lane: Any) -> None:
        names = [(name, own.shape) for name, own in lane.named_tensors()]
        if names != [(name, own.shape) for name, own in self.tensors.items()]:
            raise NotFusibleError("of a module whose setup changes what it is made of")
        double = any(own.dtype != self.tensors[name].dtype for name, own in lane.named_tensors())
        if double and self.decay is None:
            raise NotFusibleError(
                "an equally weighted average in double precision, which torch refuses"
            )

    def _pairs(self, lane: Any) -> list[tuple[Tensor, Tensor]]:
        return [(own.data, self.tensors[name]) for name, own in lane.named_tensors()]

    def due(self, step: int) -> bool:
        """Whether the average is to be taken now; asked after each batch.

        Args:
            step: steps of the optimizer so far.
        """
        return step > self._step and bool(self._callback.should_update(step_idx=step - 1))

    def taken(self, step: int) -> None:
        """Note that it was."""
        self._step = step

    def weights(self, lane: Any) -> dict[str, Tensor]:
        """The state dict of its lane's module, with the averages in it, copied."""
        names = {id(own): name for name, own in lane.named_tensors()}
        return {
            # By what it is: a tensor that is shared has several names.
            key: self.tensors[names[id(own)]].to(own.dtype, copy=True)
            if id(own) in names
            else own.detach().clone()
            for key, own in lane.module.state_dict(keep_vars=True).items()
        }

    def save(self) -> dict[str, Any]:
        return {
            "tensors": {name: own.clone() for name, own in self.tensors.items()},
            "counts": [self.count, self._step, self._epoch],
        }

    def load(self, saved: Mapping[str, Any], lane: Any) -> None:
        self.tensors = {name: own.clone() for name, own in saved["tensors"].items()}
        self.count, self._step, self._epoch = saved["counts"]


def _decay(arguments: Mapping[str, Any]) -> float | None:
    """The decay of what torch's `AveragedModel` keeps with these arguments; None: of equal weights."""
    function = arguments.get("avg_fn")
    if arguments.get("multi_avg_fn") is not None:
        raise NotFusibleError(
            "multi_avg_fn: lanes know avg_fn=torch.optim.swa_utils.get_ema_avg_fn(…)"
        )
    own = inspect.unwrap(function) if function is not None else None
    if own is None:
        return None
    if (own.__module__, own.__qualname__) != ("torch.optim.swa_utils", _EMA):
        raise NotFusibleError("avg_fn: lanes know torch.optim.swa_utils.get_ema_avg_fn(…)")
    return float(inspect.getclosurevars(own).nonlocals["decay"])


class Averages:
    """The averages of lanes that step together, shape ``(lanes, …)`` each.

    Args:
        lanes: a lane's each; what they hold becomes views of these.
        parameters: which of the tensors are parameters: buffers may be copied only.
    """

    def __init__(self, lanes: Sequence[Averaging], parameters: frozenset[str]) -> None:
        self._lanes = lanes
        self._parameters = parameters
        self._here = {
            name: torch.stack([one.tensors[name] for one in lanes]) for name in lanes[0].tensors
        }
        for lane, one in enumerate(lanes):
            one.tensors = {name: own[lane] for name, own in self._here.items()}
        self._there = self._here
        self._decays = _decays(lanes)

    def to(self, device: str) -> None:
        """Take them where the steps are, or, ``cpu``, have the lanes' own be what they came to."""
        if device == "cpu":
            for name, own in self._here.items():
                own.copy_(self._there[name])
            self._there = self._here
        else:
            self._there = {name: sent(own, device) for name, own in self._here.items()}
        self._decays = sent(_decays(self._lanes), device)

    def batch_ended(self, current: Mapping[str, Tensor], steps: Sequence[int]) -> None:
        """Take in the weights of those lanes for which it is time.

        Args:
            current: the lanes' parameters and buffers.
            steps: of their optimizers so far.
        """
        due = [lane for lane, one in enumerate(self._lanes) if one.due(steps[lane])]
        _update(self._lanes, self._there, current, self._parameters, due, self._decays)
        for lane in due:
            self._lanes[lane].taken(steps[lane])


def _decays(lanes: Sequence[Averaging]) -> Tensor:
    return torch.tensor([one.decay or 0.0 for one in lanes], dtype=torch.float64)


def _update(
    lanes: Sequence[Averaging],
    averages: Mapping[str, Tensor],
    current: Mapping[str, Tensor],
    parameters: frozenset[str],
    due: Sequence[int],
    decays: Tensor,
) -> None:
    """Take in weights, as torch's `AveragedModel` does, of some lanes together.

    Args:
        averages, current: by name, shape ``(lanes, …)``; the first are changed.
        parameters: their names; buffers are copied only, where the average leaves them out.
        due: which lanes.
        decays: of all, shape ``(lanes,)``, where the averages are.
    """
    first = [lane for lane in due if not lanes[lane].count]
    later = [lane for lane in due if lanes[lane].count]
    everyone = len(later) == len(lanes)
    kept = decays if everyone else decays[later]
    taken = 1 - kept
    counts = torch.tensor([lanes[lane].count + 1 for lane in later])
    if decays.device.type != "cpu":
        counts = sent(counts, decays.device.type)
    with torch.no_grad():
        for name, average in averages.items():
            own = current[name].detach()
            if first:
                _put(average, first, own)
            if later and name not in parameters and not lanes[0].uses_buffers:
                _put(average, later, own)
            elif later:
                before, now = (average, own) if everyone else (average[later], own[later])
                if lanes[0].decay is None:
                    new = before + (now - before) / _column(counts, average)
                else:
                    new = _of(before, kept) * before + _of(now, taken) * now
                _put(average, later, new, sliced=True)
    for lane in due:
        lanes[lane].count += 1


def _of(tensor: Tensor, numbers: Tensor) -> Tensor:
    """Numbers as one that a tensor is multiplied by: of its precision, or single where it has none."""
    dtype = tensor.dtype if tensor.is_floating_point() else torch.float32
    return _column(numbers.to(dtype), tensor)


def _column(numbers: Tensor, tensor: Tensor) -> Tensor:
    return numbers.view(-1, *[1] * (tensor.ndim - 1))


def _put(average: Tensor, which: Sequence[int], values: Tensor, sliced: bool = False) -> None:
    if len(which) == len(average):
        average.copy_(values)
    else:
        average[which] = (values if sliced else values[which]).to(average.dtype)
