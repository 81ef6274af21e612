"""A lane's schedules of learning rates, stepped when a Trainer steps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def step_schedules(
    module: Any, schedulers: Sequence[Any], interval: str, plateau: bool, now: int
) -> None:
    """Step those of a lane's schedulers whose time it is.

    Args:
        schedulers: as Lightning has them, with their settings.
        interval: ``step`` or ``epoch``, at whose end this is.
        plateau: those that look at a metric; else the others.
        now: how many batches of the epoch, or epochs, there have been.

    Raises:
        ValueError: a metric that one looks at was not logged.
    """
    for own in schedulers:
        if own.reduce_on_plateau is not plateau or own.interval != interval or now % own.frequency:
            continue
        value = None
        if own.reduce_on_plateau:
            logged = module.trainer.callback_metrics
            value = logged.get(own.monitor)
            if value is None and own.strict:
                raise ValueError(
                    f"a schedule's monitor={own.monitor}: not logged (logged: {sorted(logged)})"
                )
            if value is None:
                continue
        module.lr_scheduler_step(own.scheduler, value)
