"""What a sweep asks of an executor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from caviar.base.messages import Event, Job, Reported


@dataclass(frozen=True)
class TaskSource:
    """How a worker process finds the task function: by module name, else by running its file.

    Attributes:
        name: the function's name at the top of its module.
        module: the module's import name; None where the task is in a script.
        path: the script.
        whitelist: what the app lets Hydra call: `caviar.base.hydra_versions.whitelist_of`.
        function: the task function itself, for an executor that need not look for it; it goes to
            no other process.
    """

    name: str
    module: str | None
    path: str | None
    whitelist: Any = field(default=None, kw_only=True)
    function: Callable[[Any], Any] | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )


def task_source(task: Callable[[Any], Any], whitelist: Any = None) -> TaskSource:
    """How another process finds the task function that this one has."""
    if task.__module__ not in {"__main__", "__mp_main__"}:  # the latter in a worker
        return TaskSource(task.__name__, task.__module__, None, whitelist=whitelist, function=task)
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        # Started with `python -m`: a package's name stands for its __main__ module.
        return TaskSource(task.__name__, spec.name, None, whitelist=whitelist, function=task)
    path = str(Path(main.__file__ or "").absolute())
    return TaskSource(task.__name__, None, path, whitelist=whitelist, function=task)


class Executor(Protocol):
    """Runs jobs on ``lanes`` lanes.

    Every submitted job gives exactly one Finished, Pruned or Failed.

    Attributes:
        log: where the output of loading the task goes; the sweep sets it.
        judge: whether the trial that has just reported this is to end now; the loop sets it. Only an
            executor that runs trials in the controller's own process asks; others are told: `prune`.
        can_stop: whether a trial under way can be ended from outside.
    """

    log: Path
    judge: Callable[[Reported], bool]
    can_stop: bool

    @property
    def lanes(self) -> int:
        """How many jobs may be under way at once. It changes as workers come up and go."""
        ...

    @property
    def workers(self) -> int:
        """How many processes train, or will when they have come up, as far as is known now."""
        ...

    def start(self, task: TaskSource) -> None:
        """Bring the workers up; returns at once, they come up on their own."""
        ...

    def submit(self, job: Job) -> None:
        """Run a job on a free lane."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last call; waits up to ``timeout`` seconds for the first."""
        ...

    def prune(self, number: int) -> None:
        """End a trial at its next report; its Pruned event follows, unless it is done before that."""
        ...

    def interrupt(self) -> None:
        """Ask every trial to leave a checkpoint and end at its next report."""
        ...

    def stop(self, number: int, why: str) -> None:
        """End a trial now; a Failed event that says ``why`` follows."""
        ...

    def close(self) -> None:
        """End all workers and leave nothing behind; may be called twice."""
        ...
