"""Trials of one kind: the stack that they share, and who has a lane of it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from caviar.base.errors import name_and_text
from caviar.base.messages import Job
from caviar.engines.lanes.backends import BACKENDS
from caviar.engines.lanes.folds import Folded
from caviar.engines.lanes.run_folder import RunFolder
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.ways import AnyStack, AnyTraining, stack_of

log = logging.getLogger(__name__)

_SMALL_FOR = 3
"""Ticks with lanes to spare after which a stack shrinks; refills may be on their way."""


@dataclass(eq=False)
class Run:
    """A job under way on a lane, or waiting for one.

    Attributes:
        saved: where it goes on from, if it has been on a lane before.
        trial: where the job is of several folds, all of it; this is its ``fold``.
        shown: when its metrics.csv was last written, and ``kept``, its lane, by `time.monotonic`.
    """

    job: Job
    training: AnyTraining
    folder: RunFolder
    saved: dict[str, Any] | None = None
    trial: Folded | None = None
    fold: int = 0
    shown: float = field(default_factory=time.monotonic)
    kept: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Group:
    """Trials that may share a stack.

    Attributes:
        most: lanes of that stack at most; 0 where its trials are the solo engine's.
        by: which of `BACKENDS` is to train the stack.
        device: where it computes.
        stack: None where no trial is on a lane.
        admitting: the trial that is on its way to a lane, or failed there.
        waiting: trials without a lane, and ``runs``, those that have one, by lane.
        seconds: spent in its ticks; ``ticked``: when the last one ended.
    """

    most: int
    by: str
    device: str
    stack: AnyStack | None = None
    admitting: Run | None = None
    waiting: list[Run] = field(default_factory=list)
    runs: dict[int, Run] = field(default_factory=dict)
    seconds: float = 0.0
    ticked: float = field(default_factory=time.monotonic)
    _small_for: int = 0

    @property
    def count(self) -> int:
        """How many trials it has."""
        return len(self.runs) + len(self.waiting)

    @property
    def all(self) -> list[Run]:
        """All its trials, those on lanes first."""
        return [*self.runs.values(), *self.waiting]

    def fill(self, most: int) -> list[Run]:
        """Bring the stack to the size that the trials need, and put those that wait on free lanes.

        Args:
            most: lanes that there is memory for.

        Returns:
            Those that got a lane.
        """
        self.admitting = None
        # A lane that is free computes all the same; a few are left, not to resize at every arrival.
        grain = max(1, self.count // 8)
        wanted = min(-(-self.count // grain) * grain, self.most, most)
        stack = self.stack
        coming = [run.training for run in self.waiting[:wanted]]
        self._small_for = self._small_for + 1 if stack and wanted < stack.lanes else 0
        if stack is None or not self.runs:
            if stack is None or wanted > stack.lanes or not all(map(stack.holds, coming)):
                stack = self._new(coming, wanted)
        elif wanted > stack.lanes or not all(map(stack.holds, coming)):
            stack = self._resized(stack, max(wanted, stack.lanes), coming)
        elif self._small_for > _SMALL_FOR and len(self.runs) <= wanted:
            stack = self._resized(stack, wanted, coming)
        self.stack = stack
        admitted = []
        for lane in stack.free[: len(self.waiting)]:
            self.admitting = self.waiting[0]
            self._admit(stack, lane, self.admitting)
            admitted.append(self.waiting.pop(0))  # only now: who fails to get a lane waits still
        self.admitting = None
        return admitted

    def charge(self, seconds: float) -> None:
        """Share what a tick took among the trials on its lanes."""
        for run in self.runs.values():
            life = (run.trial.folder if run.trial else run.folder).life
            life.shared = (life.shared or 0.0) + seconds / len(self.runs)

    def release(self, lane: int) -> None:
        """Empty a lane."""
        assert self.stack is not None
        self.stack.release(lane)
        del self.runs[lane]

    def withdraw(self, trial: Folded) -> None:
        """Take all folds of a trial out."""
        self.waiting = [run for run in self.waiting if run.trial is not trial]
        for lane, run in list(self.runs.items()):
            if run.trial is trial:
                self.release(lane)

    def drop(self, run: Run) -> None:
        """Take a trial out, off its lane if it has one."""
        if run in self.waiting:
            self.waiting.remove(run)
        else:
            self.release(next(lane for lane, one in self.runs.items() if one is run))

    def take_first(self) -> Run:
        """Take out the only trial on a lane, or else the first that waits for one."""
        run = self.all[0]
        if run in self.waiting:
            self.waiting.remove(run)
        self.runs, self.stack = {}, None
        return run

    def park(self) -> None:
        """Take all trials off their lanes, as they were when the epoch under way began."""
        stack = self.stack
        if stack is not None:
            stack.rewind()
            stack.fetch(list(self.runs))
            for lane, run in self.runs.items():
                run.saved = stack.save(lane)
        self.waiting[:0] = self.runs.values()
        self.runs, self.stack = {}, None

    def _new(self, coming: list[AnyTraining], lanes: int) -> AnyStack:
        stack = stack_of(coming, lanes, self.device)
        backend, words = BACKENDS[self.by]
        if isinstance(stack, Stack) and (why := stack.use(backend)):
            log.info("by torch, step by step, not %s: %s", words, why)
            self.by = "torch"
        return stack

    def _resized(self, stack: AnyStack, lanes: int, coming: list[AnyTraining]) -> AnyStack:
        self._small_for = 0
        before = stack.active
        other = stack.resized(lanes, coming)
        self.runs = {new: self.runs[lane] for new, lane in enumerate(before)}
        return other

    def _admit(self, stack: AnyStack, lane: int, run: Run) -> None:
        stack.admit(run.training, lane)
        if run.saved is not None:
            try:
                stack.load(lane, run.saved)
            except Exception as error:  # some of it may have been taken in
                folder = run.trial.folder if run.trial else run.folder
                folder.note(logging.WARNING, f"begins afresh: {name_and_text(error)}")
                stack.release(lane)
                again: Any = type(run.training)
                run.training = again(run.training.recipe)
                stack.admit(run.training, lane)
            run.saved = None
        self.runs[lane] = run


@dataclass
class Occupancy:
    """Counts lane-ticks: a lane of a stack for an epoch, with a trial on it or without.

    Attributes:
        lanes: all of them; ``busy``: those with a trial.
        lanes_before, busy_before: the same up to the last trial's lane: after that, lanes can only
            run empty.
    """

    lanes: int = 0
    busy: int = 0
    lanes_before: int = 0
    busy_before: int = 0

    def admitted(self) -> None:
        """A trial gets a lane."""
        self.lanes_before, self.busy_before = self.lanes, self.busy

    def tick(self, lanes: int, busy: int) -> None:
        """An epoch in a stack has ended."""
        self.lanes += lanes
        self.busy += busy

    def __str__(self) -> str:
        return (
            f"{self.busy} of {self.lanes} lane-ticks busy, "
            f"{self.busy_before} of {self.lanes_before} until the last trial had its lane"
        )
