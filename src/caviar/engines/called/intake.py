"""What steps give, taken in: their logs are summed up, and the lanes' metrics called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caviar.engines.called.record import Given, Record, of_lane
from caviar.engines.called.results import Results
from caviar.engines.called.step import Stepped
from caviar.engines.called.training import CalledTraining

_HELD = 1 << 24
"""Bytes of metrics' arguments that are held back at most: they are taken in many at a time."""


class Intake:
    """Takes in what some lanes' steps give.

    Args:
        trainings: on these lanes.
    """

    def __init__(self, trainings: Sequence[CalledTraining]) -> None:
        self._trainings = trainings
        self._course = trainings[0].course
        self._calls: list[tuple[Record, list[Tensor]]] = []
        self._held = 0

    def take(self, hook: str, stepped: Stepped, results: Results) -> None:
        """Sum up what a step has logged; its calls of metrics are put off, where they may be."""
        record = stepped.record
        lanes = len(self._trainings)
        returned: list[list[Any]] = []
        if record.calls and not self._only_sums(record):
            self.flush()
            returned = self._replay(record, stepped.outs)
        elif record.calls:
            self._calls.append((record, stepped.outs))
            self._held += sum(out.nbytes for out in stepped.outs)
            if self._held > _HELD:
                self.flush()
        for log in record.logs:
            if isinstance(log.value, str):
                results.log_metric(hook, log.meta, log.value)
                continue
            if isinstance(log.value, Given):
                value = torch.stack(
                    [_picked(one, log.value.key) for one in returned[log.value.call]]
                )
            elif isinstance(log.value, int | float):
                value = torch.full(
                    (lanes,), float(log.value), dtype=self._course.dtype, device=self._course.device
                )
            else:
                value = stepped.outs[log.value.number]
            results.log(hook, log.meta, value, log.batch_size)

    @staticmethod
    def _only_sums(record: Record) -> bool:
        """Whether what its metrics return is asked for by nobody, so that they may be called later."""
        asked = any(isinstance(log.value, Given) for log in record.logs)
        stepwise = any(isinstance(log.value, str) and log.meta.on_step for log in record.logs)
        whats = {call.what for call in record.calls}
        return not asked and not stepwise and whats <= {"forward", "update"}

    def flush(self) -> None:
        """Have the lanes' metrics take in what was put off."""
        calls, self._calls, self._held = self._calls, [], 0
        for record, outs in calls:
            self._replay(record, outs, quiet=True)

    def _replay(self, record: Record, outs: list[Tensor], quiet: bool = False) -> list[list[Any]]:
        """Call the lanes' metrics; what each call returned, by lane."""
        returned = []
        outs = [out.cpu() for out in outs] if record.calls else outs  # where metrics are
        for call in record.calls:
            what = "update" if quiet and call.what == "forward" else call.what
            own = []
            for lane, training in enumerate(self._trainings):
                args, kwargs = of_lane(call.arguments, outs, lane)
                metric = training.module.get_submodule(call.metric)
                function = metric if what == "forward" else getattr(metric, what)
                own.append(function(*args, **kwargs))
            returned.append(own)
        return returned


def _picked(returned: Any, key: str | None) -> Tensor:
    value = returned if key is None else returned[key]
    return value.detach().reshape(())
