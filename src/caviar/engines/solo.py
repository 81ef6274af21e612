"""The solo engine: one trial at a time, each one call of the task function in its run folder."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig

from caviar.base.messages import Failed, Finished, Job, Pruned, Reported, Started
from caviar.base.objectives import as_given
from caviar.engines.base import Inbox, Send
from caviar.engines.gpu import GpuLostError, gpu_lost
from caviar.engines.hydra_job import HydraJobs
from caviar.runs import folder as names
from caviar.runs.active import ActiveRun, TrialPruned, activate
from caviar.runs.config import resolved
from caviar.runs.files import sync, write_atomic
from caviar.runs.inside import make_folders, opener
from caviar.runs.life import Life, add_to_log
from caviar.runs.text import yaml_text

Task = Callable[[DictConfig], Any]


class Solo:
    """Runs trials one after the other in this process.

    Args:
        task: the function that a trial calls: config -> score.

    Attributes:
        jobs: what Hydra does for them.
    """

    lanes = 1

    def __init__(self, task: Task) -> None:
        self._task = task
        self.jobs = HydraJobs()
        self._lost: BaseException | None = None

    def serve(self, inbox: Inbox, send: Send) -> None:
        """Run jobs until the inbox is closed."""
        while (job := inbox.take(None)) is not None:
            self.serve_one(job, inbox, send)

    def serve_one(self, job: Job, inbox: Inbox, send: Send) -> None:
        """Run one job, and tell what comes of it.

        Raises:
            GpuLostError: the next would fail by what this one met.
        """

        def reported(report: Reported) -> None:
            send(report)
            if inbox.pruned(job.number):
                raise TrialPruned(f"pruned at step {report.step}")

        send(Started(job.number))
        send(self.run(job, reported, lambda: inbox.interrupted))
        self.settle(job)
        if self._lost is not None:
            raise GpuLostError(self._lost)

    def run(
        self, job: Job, reported: Callable[[Reported], None], interrupted: Callable[[], bool]
    ) -> Finished | Pruned | Failed:
        """Run one trial and leave its run folder behind, whatever happens in the task.

        Args:
            reported: is given its intermediate values, and raises TrialPruned where it is to end.
            interrupted: whether it is to leave a checkpoint and end.
        """
        life, last = Life.of(job, "solo"), _Listener(job.number, reported)
        life.begin()
        checkpoints = Path(job.resume_from) if job.resume_from else None
        run = ActiveRun(life.folder, life.facts, last, checkpoints, interrupted, task=self._task)
        try:
            make_folders(life.folder)
            life.write(life.result)
            with output_to(life.folder / names.LOG):
                end = life.complete(as_given(self._call(job, run)))
        # Ctrl-C does not come here as an exception: a KeyboardInterrupt is the task's own.
        except BaseException as error:
            if _is_pruned(error):
                end = life.pruned(last.value)
            else:
                end = life.failed(error, interrupted())
                add_to_log(life.folder, end.log)
                self._lost = error if gpu_lost(error) else None
        return end.written(life.write)

    def settle(self, job: Job) -> None:
        """See a trial's config safe from a power cut: after it was told, not on its way to training."""
        for name in (names.CONFIG, names.OVERRIDES):
            try:
                sync(Path(job.folder, name))
            except FileNotFoundError:
                continue  # it failed before it had one, or whoever ran it has taken the folder away
            except OSError as error:
                print(f"{job.folder}/{name}: may not outlast a power cut: {error}", flush=True)

    def _call(self, job: Job, run: ActiveRun) -> list[float]:
        config = self.jobs.config(job, run.dir)
        write_atomic(run.dir / names.CONFIG, yaml_text(resolved(config)), durable=False)
        write_atomic(run.dir / names.OVERRIDES, yaml_text(job.overrides), durable=False)
        with activate(run):
            return numbers(self.jobs.call(job, run.dir, self._task, config), job.objectives)


class _Listener:
    """Hands a trial's intermediate values on, and keeps the last: it is the score of a pruned trial."""

    def __init__(self, number: int, hand_on: Callable[[Reported], None]) -> None:
        self._number = number
        self._hand_on = hand_on
        self.value: float | None = None

    def __call__(self, value: float, step: int) -> None:
        self.value = value
        self._hand_on(Reported(self._number, value, step))


def _is_pruned(error: BaseException) -> bool:
    # Optuna's own exception means the same, and is not imported for it.
    return type(error).__name__ == TrialPruned.__name__


def numbers(returned: Any, objectives: int) -> list[float]:
    """A task's return value as a list of finite numbers, one an objective.

    Raises:
        ValueError: it is not a number or a list of numbers, or not so many, or not finite.
    """
    items = list(returned) if isinstance(returned, list | tuple) else [returned]
    wanted = "a number" if objectives == 1 else f"{objectives} numbers, one an objective"
    try:
        values = [float(item) for item in items]
    except (TypeError, ValueError):
        values = []
    if len(values) != objectives:
        raise ValueError(f"a trial returns {wanted}, but this one returned {returned!r}")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"a trial returns finite numbers, but this one returned {returned!r}")
    return values


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Send stdout and stderr, of this process and of what it starts, to the end of a file.

    ``sys.stdout`` and ``sys.stderr`` are new ones meanwhile: a task may close them.
    """
    streams = sys.stdout, sys.stderr
    _flush(streams)
    kept = os.dup(1), os.dup(2)
    file = opener(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = map(_lines_to, (1, 2))
        yield
    finally:
        _flush((sys.stdout, sys.stderr, *streams))
        sys.stdout, sys.stderr = streams
        for number, original in zip((1, 2), kept, strict=True):
            os.dup2(original, number)
            os.close(original)
        os.close(file)


def _lines_to(descriptor: int) -> TextIO:
    """A stream that writes each line at once, so that prints and log lines stay in their order."""
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _flush(streams: Iterable[Any]) -> None:
    for stream in streams:
        # A task may have closed it, or put something in its place that cannot be flushed.
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
