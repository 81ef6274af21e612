"""What `self.log` comes to: the same means, sums and names that Lightning's result collection has.

One holds the values of many lanes, shape ``(lanes,)``, or of one, ``()``: the sums are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caviar.engines.experiment import NotFusibleError

LEVELS: dict[str, tuple[bool, bool]] = {
    "training_step": (True, False),
    "validation_step": (False, True),
}
"""Hook -> whether it logs each step, and each epoch, unless it says so; all others: each epoch."""

_REDUCED = ("mean", "sum", "min", "max")
_ARGUMENTS = {
    "prog_bar", "logger", "on_step", "on_epoch", "reduce_fx", "enable_graph", "sync_dist",
    "sync_dist_group", "add_dataloader_idx", "batch_size", "metric_attribute", "rank_zero_only",
}  # fmt: skip


@dataclass(frozen=True)
class Meta:
    """How a value is logged."""

    name: str
    logger: bool
    on_step: bool
    on_epoch: bool
    reduce: str

    def names(self, on_step: bool) -> tuple[str, str]:
        """The logged name: plain, and with what Lightning adds where it logs steps and epochs."""
        if not (self.on_step and self.on_epoch):
            return self.name, self.name
        return self.name, f"{self.name}_{'step' if on_step else 'epoch'}"


def meta_of(hook: str, name: str, given: Mapping[str, Any]) -> Meta:
    """Read the arguments of a call of `self.log`.

    Raises:
        NotFusibleError: one that lanes do not know.
    """
    if unknown := set(given) - _ARGUMENTS:
        raise NotFusibleError(f"self.log({name!r}, {min(unknown)}=…)")
    step, epoch = LEVELS.get(hook, (False, True))
    on_step, on_epoch = given.get("on_step"), given.get("on_epoch")
    on_step = step if on_step is None else on_step
    on_epoch = epoch if on_epoch is None else on_epoch
    if hook not in LEVELS and on_step:
        raise NotFusibleError(f"self.log({name!r}, on_step=True) in {hook}")
    if not (on_step or on_epoch):
        raise NotFusibleError(f"self.log({name!r}, on_step=False, on_epoch=False)")
    reduce = given.get("reduce_fx", "mean")
    reduce = getattr(reduce, "__name__", reduce)
    reduce = "mean" if reduce == "avg" else reduce
    if reduce not in _REDUCED:
        raise NotFusibleError(f"self.log({name!r}, reduce_fx={reduce})")
    logger = given.get("logger")
    return Meta(name, logger is None or bool(logger), on_step, on_epoch, str(reduce))


@dataclass
class _Entry:
    meta: Meta
    total: Any = None
    weight: float = 0
    last: Any = None
    metric: Any = None


Computed = tuple[Meta, Any]
"""How it is logged, and its value: of one lane, or of all."""


class Results:
    """The values of one loop over batches, and of the hooks around it."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}

    def log(self, hook: str, meta: Meta, value: Tensor, batch_size: int) -> None:
        """Take in a value, as Lightning's ``_ResultMetric.update`` does.

        Args:
            value: shape ``()`` or ``(lanes,)``.
            batch_size: its weight in a mean.
        """
        entry = self._entry(hook, meta)
        if value.dtype not in (torch.float32, torch.float64):
            value = value.to(_dtype())
        if meta.on_step:
            entry.last = value
            if not meta.on_epoch:
                return
        if meta.reduce == "mean":
            entry.total = value * batch_size + (0.0 if entry.total is None else entry.total)
            entry.weight += batch_size
        elif entry.total is None:
            entry.total = value.clone()
        elif meta.reduce == "sum":
            entry.total = entry.total + value
        else:
            entry.total = getattr(torch, f"{meta.reduce}imum")(entry.total, value)

    def log_metric(self, hook: str, meta: Meta, metric: Any) -> None:
        """Take in a metric of torchmetrics: it is computed as the epoch ends.

        Args:
            metric: it, or how it is found.
        """
        self._entry(hook, meta).metric = metric

    def _entry(self, hook: str, meta: Meta) -> _Entry:
        entry = self._entries.setdefault((hook, meta.name), _Entry(meta))
        if entry.meta != meta:
            raise NotFusibleError(
                f"self.log({meta.name!r}, …) twice in {hook}, and not the same way"
            )
        return entry

    def of_step(self) -> list[Computed]:
        """What the last batch gave, but for metrics."""
        return [(one.meta, one.last) for one in self._entries.values() if one.last is not None]

    def of_epoch(self, compute: Callable[[Any], Any] | None = None) -> list[Computed]:
        """What the epoch gave.

        Args:
            compute: gives a metric's value.
        """
        found = []
        for entry in self._entries.values():
            if not entry.meta.on_epoch:
                continue
            if entry.metric is not None:
                assert compute is not None
                found.append((entry.meta, compute(entry.metric)))
            elif entry.meta.reduce == "mean":
                found.append((entry.meta, entry.total / entry.weight))
            else:
                found.append((entry.meta, entry.total))
        return found

    @property
    def metrics(self) -> list[tuple[Meta, Any]]:
        """The metrics of torchmetrics that were logged."""
        return [(one.meta, one.metric) for one in self._entries.values() if one.metric is not None]


def as_tensor(value: Any, name: str) -> Tensor:
    """A value as `self.log` takes it.

    Raises:
        NotFusibleError: it is more than one number.
    """
    if not isinstance(value, Tensor):
        return torch.tensor(value, dtype=_dtype())
    if value.numel() != 1:
        raise NotFusibleError(f"self.log({name!r}, …) of {value.numel()} numbers, not one")
    return value.detach().reshape(())


def _dtype() -> torch.dtype:
    dtype = torch.get_default_dtype()
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
