"""What a sweep asks of an executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from caviar.trials import Event, Job


@dataclass(frozen=True)
class TaskSource:
    """How a worker process finds the task function: by module name, else by running its file.

    Attributes:
        name: the function's name at the top of its module.
        module: the module's import name; None where the task is in a script.
        path: the script.
    """

    name: str
    module: str | None
    path: str | None


class Executor(Protocol):
    """Runs jobs on ``lanes`` lanes. Every submitted job gives exactly one Finished or Failed.

    Attributes:
        lanes: how many jobs may be under way at once; the caller never submits more.
    """

    lanes: int

    def start(self, task: TaskSource) -> None:
        """Bring the workers up; returns at once, they come up on their own."""
        ...

    def submit(self, job: Job) -> None:
        """Run a job on a free lane."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last call; waits up to ``timeout`` seconds for the first."""
        ...

    def stop(self, number: int) -> None:
        """End a trial now; its Failed event follows."""
        ...

    def close(self) -> None:
        """End all workers and leave nothing behind; may be called twice."""
        ...
