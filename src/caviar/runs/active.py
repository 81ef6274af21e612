"""The run under way in this process: its folder, and what a task records and reports."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GO_ON = "CAVIAR_GO_ON"
"""The environment variable that names the run folder which a process is to go on in."""


class TrialPruned(Exception):  # noqa: N818 - Optuna's word for its own
    """Raised by `report` in a trial that the pruner ends early: let it pass."""


class TrialInterrupted(Exception):  # noqa: N818
    """Raised by `report` in a run that must stop: leave a checkpoint and let it pass."""


class RankLost(Exception):  # noqa: N818
    """A process of a training that is several has failed or was killed: one line, and what it said."""

    def __init__(self, line: str, said: str = "") -> None:
        super().__init__(line)
        self.said = said


@dataclass
class ActiveRun:
    """A run while its task is being called.

    Attributes:
        dir: the run folder.
        facts: what the task recorded; it goes into ``result.json``.
        listener: takes an intermediate value and its step, in a sweep; raises TrialPruned where the
            trial is to end.
        resume_from: a folder of checkpoints that an earlier try of this trial left.
        interrupted: whether the run is to leave a checkpoint and end.
        outer: the run that this one is a part of, as a fold is of its trial.
        task: what is being called; None in a fold.
    """

    dir: Path
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    listener: Callable[[float, int], None] | None = None
    resume_from: Path | None = None
    interrupted: Callable[[], bool] = lambda: False
    outer: "ActiveRun | None" = None
    task: Callable[[Any], Any] | None = None


_active: ActiveRun | None = None


def active_run() -> ActiveRun | None:
    """The run under way in this process, or None outside one."""
    return _active


@contextmanager
def activate(run: ActiveRun) -> Generator[ActiveRun]:
    """Make ``run`` the one that `run_dir`, `record` and `report` speak to."""
    global _active
    run.outer, _active = _active, run
    try:
        yield run
    finally:
        _active = run.outer


def run_dir() -> Path | None:
    """The folder of the run under way, or None outside one."""
    return _active.dir if _active else None


def record(**facts: Any) -> None:
    """Add plain facts (``best_epoch=3``) to the run's ``result.json``; outside a run, do nothing."""
    if _active:
        _active.facts.update(facts)


def resume_from() -> Path | None:
    """The folder of checkpoints that an earlier try of this trial left, or None: begin afresh."""
    return _active.resume_from if _active else None


def report(value: float, step: int) -> None:
    """Report an intermediate value of the objective after ``step``; outside a sweep, do nothing.

    Raises:
        TrialPruned: the pruner ends this trial, which others have outdone.
        TrialInterrupted: the run has to stop now, and will go on later.
    """
    if _active and _active.listener:
        _active.listener(float(value), int(step))
    stop_if_asked(step)


def stop_if_asked(step: int | None = None) -> None:
    """End the run here, after ``step``, if it has been asked to end; `report` does that by itself.

    Raises:
        TrialInterrupted: it has.
    """
    if asked_to_stop():
        raise TrialInterrupted("stopped" if step is None else f"stopped at step {int(step)}")


def asked_to_stop() -> bool:
    """Whether the run under way, or one that it is a part of, is to leave a checkpoint and end."""
    run = _active
    while run is not None and not run.interrupted():
        run = run.outer
    return run is not None
