"""What one lane logs, taken in as by a Trainer: for callbacks, for loggers and for the epoch's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from caviar.engines.called.pretend import LaneTrainer
from caviar.engines.called.results import Computed, Results, as_tensor, meta_of
from caviar.engines.experiment import Called, NotFusibleError
from caviar.engines.progress import Progress


class Logs(Progress):
    """Takes in what one lane's steps, hooks and callbacks log.

    Attributes:
        module: its own.
        trainer: what the module and the callbacks find where their Trainer would be.
    """

    module: Any
    trainer: LaneTrainer

    def __init__(self, called: Called, double: bool) -> None:
        super().__init__(called, double)
        self._results: Results | None = None
        self._hook = ""
        self._ahead: dict[str, float] = {}

    def _log(self, name: str, value: Any, *args: Any, **given: Any) -> None:
        given.update(zip(("prog_bar", "logger", "on_step", "on_epoch"), args, strict=False))
        if self._results is None:
            raise NotFusibleError(f"self.log({name!r}, …) in {self._hook or 'no hook'}")
        meta = meta_of(self._hook, name, given)
        if _is_metric(value):
            self._results.log_metric(self._hook, meta, value)
        else:
            size = given.get("batch_size") or 1
            self._results.log(self._hook, meta, as_tensor(value, name), size)

    def logged(self, found: Sequence[Computed], on_step: bool, rows: bool) -> None:
        """Take in what was logged: for callbacks, and as a part of the epoch's row.

        Args:
            rows: it is for loggers too, now.
        """
        self.metrics.update(self.seen(found, on_step))
        row = {meta.names(on_step)[1]: float(value) for meta, value in found if meta.logger}
        if rows and row:
            self.log_row(row)

    def seen(self, found: Sequence[Computed], on_step: bool = False) -> dict[str, float]:
        """Have callbacks and schedules see what was logged, under its names; it, as numbers."""
        numbers: dict[str, float] = {}
        for meta, value in found:
            tensor = value if isinstance(value, Tensor) else torch.tensor(float(value))
            for name in meta.names(on_step):
                self.trainer.known_metrics[name] = tensor
                numbers[name] = float(value)
            if meta.logger:
                self.trainer.known_logged[meta.names(on_step)[1]] = tensor
        return numbers

    def log_ahead(self, metrics: Mapping[str, float], step: int) -> None:
        """Log as a callback does that speaks to loggers itself: the epoch's row takes it in."""
        self.note(metrics, step)
        self._ahead.update(metrics)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Log as a Trainer's logger of metrics.csv does: what an epoch gives is one row."""
        values = dict(row)
        ahead, self._ahead = self._ahead, {}
        step = values.pop("step", None)
        if step is None:
            self.note({**values, "epoch": self.epoch}, self.step_logged)
        else:
            self.note(values, int(step))
        where = {"epoch": self.epoch, "step": self.step_logged if step is None else int(step)}
        if self.rows and self.rows[-1]["epoch"] == self.epoch:
            self.rows[-1].update({**where, **ahead, **values})
        else:
            self.rows.append({**where, **ahead, **values})

    @property
    def step_logged(self) -> int:
        """The step that loggers are told: the last that was done, from 0."""
        return self.trainer.global_step - 1

    def state(self) -> dict[str, Any]:
        logged = {name: float(own) for name, own in self.trainer.known_logged.items()}
        return {**super().state(), "ahead": dict(self._ahead), "logged": logged}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self._ahead = dict(state.get("ahead", {}))
        logged = state.get("logged", {})
        self.trainer.known_metrics = _tensors(self.metrics)
        self.trainer.known_logged = _tensors(logged)

    def metric(self, name: str) -> Any:
        """One of its module's metrics."""
        return self.module.get_submodule(name)

    def _computed(self, found: Sequence[Computed]) -> list[Computed]:
        return [
            (meta, self._metric(value).compute() if _is_metric(value) else value)
            for meta, value in found
        ]

    def _reset(self, found: Sequence[Computed]) -> None:
        for _, value in found:
            if _is_metric(value):
                self._metric(value).reset()

    def _metric(self, value: Any) -> Any:
        return self.metric(value) if isinstance(value, str) else value


def _tensors(numbers: Mapping[str, float]) -> dict[str, Tensor]:
    return {name: torch.tensor(own, dtype=torch.float64) for name, own in numbers.items()}


def _is_metric(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "compute")
