"""The fused engine: takes jobs, puts them on lanes, and advances lanes a tick (an epoch) at a time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import torch

from caviar.base.messages import Job, Ready, Reported, Said
from caviar.engines.base import Inbox, Send
from caviar.engines.experiment import Called, Folds, NotFusibleError, Recipe
from caviar.engines.gpu import GpuLostError, wake
from caviar.engines.lanes.endings import Endings
from caviar.engines.lanes.groups import Group, Occupancy
from caviar.engines.lanes.jobs import Jobs
from caviar.engines.lanes.kinds import Kinds
from caviar.engines.lanes.run_folder import RunFolder
from caviar.engines.lanes.showing import Showing
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.trouble import Trouble
from caviar.engines.lanes.ways import AnyStack
from caviar.engines.lanes.writer import Writer
from caviar.engines.progress import Ended
from caviar.engines.solo import Solo, Task
from caviar.engines.stacked.backend import ByTorch
from caviar.engines.stacked.compiling import why_not_compiled
from caviar.runs.active import TrialInterrupted
from caviar.runs.life import Life

log = logging.getLogger(__name__)

_COMPILED_AFTER = 120.0
"""Seconds of a kind's steps after which compiling them cannot lose more than it may have cost."""

_AHEAD = 0.5, 3.0
"""Trials that are to wait for a lane, as a share of the lanes: at first, and at most."""


class Fused:
    """Trains many trials at once.

    Trials of one kind (architecture, optimizer, data, batch size) share a stack; each kind has its
    own. A trial that cannot be a lane is run by the solo engine, when no lane is busy.

    Args:
        task: the function that a solo trial calls.
        recipe: config, plain and resolved -> `Recipe` or `Called`, or `Folds` of several.
        lanes: trials in a stack at most, halved when memory runs out; None: as many as pay.
        auto: measure for each kind of trial whether lanes pay, and use the solo engine where they do not.
        keep: how many trials, the best of this worker, keep their checkpoint; None for all.
        compile: on a CPU, train the lanes by the loop in C++ (see `native`), which takes a third of
            the time. Where that does not know the network, and on a GPU, compile the steps of full
            stacks by torch: at once, or (None) once a stack has taken longer than the 10 to 60
            seconds that it takes. False: neither. Either changes results by rounding.
        checkpoint_every: seconds after which a trial's lane is written down (``lane.ckpt``), again
            and again, for it to go on from if this process is lost; None for never.
        share: jobs that it takes at once at most: more would leave other workers without.

    Attributes:
        lanes: how many jobs it takes: those on lanes, and some that wait for a lane to become free.
        occupancy: how busy the lanes have been.
    """

    def __init__(
        self,
        task: Task,
        recipe: Callable[[Mapping[str, Any]], Recipe | Called | Folds],
        lanes: int | None = None,
        keep: int | None = 16,
        compile: bool | None = None,
        auto: bool = False,
        checkpoint_every: float | None = 60.0,
        share: int | None = None,
    ) -> None:
        self._share = share
        self._compile = compile
        self._keep = keep
        self._checkpoint_every = checkpoint_every
        self._solo = Solo(task)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if self._device == "cuda":
            wake()
        self._jobs = Jobs(self._solo.jobs, recipe, compile is not False, self._say)
        self._kinds = Kinds(lanes, auto, compile is not False, self._device)
        self._alone: list[Job] = []
        self._reasons: set[str] = set()
        self._ahead = _AHEAD[0]
        # Until a kind of trial is known to be fusible, one job at a time: nothing waits in vain.
        self.lanes, self._spare = 1, 0
        self.occupancy = Occupancy()

    def serve(self, inbox: Inbox, send: Send) -> None:
        """Run jobs until the inbox is closed and all that were taken have ended."""
        self._inbox, self._send, self._writer = inbox, send, Writer()
        self._endings = Endings(self._writer, send, self._keep)
        self._trouble = Trouble(self._kinds, self._endings, self._advance, self._by_trainer)
        self._showing = Showing(self._writer, send, self._checkpoint_every)
        try:
            while True:
                self._take()
                if inbox.interrupted:
                    self._interrupt()
                    if inbox.closed:
                        return
                elif group := self._kinds.next():
                    self._advance(group)
                elif self._alone:
                    self._solo.serve_one(self._alone.pop(0), inbox, send)
                elif inbox.closed:
                    return
                self._writer.check()
        finally:
            self._writer.close()
            if self.occupancy.lanes:
                log.info("%s; %d kinds of trials", self.occupancy, len(self._kinds))

    def _count(self) -> int:
        return self._kinds.count + len(self._alone)

    def _take(self) -> None:
        """Take in all jobs that have come; wait for one where there is nothing else to do."""
        while self._count() < self.lanes:
            job = self._inbox.take(0 if self._count() else None)
            if job is None:
                return
            self._solo.jobs.learn(job.base)
            folder = _new_folder(job)
            try:
                self._begin(job, folder)
            except GpuLostError:
                raise
            except NotFusibleError as error:
                self._by_trainer(job, error)
            # Ctrl-C does not come here as an exception: a KeyboardInterrupt is the trial's own.
            except BaseException as error:
                self._endings.fail(folder, error)
            self._announce()

    def _by_trainer(self, job: Job, why: NotFusibleError) -> None:
        """Have a job run by solo, and say why, once for each reason."""
        self._say(f"not on lanes, each by its own Trainer: {why}")
        self._alone.append(job)

    def _say(self, line: str) -> None:
        """Say something of the trials, once."""
        if line not in self._reasons:
            self._reasons.add(line)
            log.warning("%s", line)
            self._send(Said(line))

    def _begin(self, job: Job, folder: RunFolder) -> None:
        runs = self._jobs.read(job, folder)
        if not all(self._kinds.of(run.training).most for run in runs):
            self._alone.append(job)
            return
        if why := self._kinds.why_apart(runs[0].training, job.overrides):
            self._say(why)
        for run in self._jobs.go_on(runs):
            self._kinds.of(run.training).waiting.append(run)
        trial = runs[0].trial
        if trial is not None and trial.over:
            self._endings.finish_folds(trial)

    def _announce(self) -> None:
        """Send how many jobs there is room for, where that has changed."""
        if not self._kinds:
            return
        share = math.inf if self._share is None else self._share
        lanes, busy = (
            int(max(1, min(self._kinds.room(ahead), share))) for ahead in (self._ahead, 0.0)
        )
        if (lanes, lanes - busy) != (self.lanes, self._spare):
            self.lanes, self._spare = lanes, lanes - busy
            self._send(Ready(lanes=lanes, spare=self._spare))

    def _look_ahead(self, group: Group, stack: AnyStack) -> None:
        """Ask for more trials in advance, where lanes stay empty although all that may come have.

        Where a pruner ends most trials early, many lanes become free at once, and it takes a while
        until the controller has been told of that and the next trials are here.
        """
        missing = stack.lanes - len(group.runs)
        full = self._count() + len(self._endings.unsent) >= self.lanes
        if missing > stack.lanes // 16 and full and self._ahead < _AHEAD[1]:
            self._ahead = min(1.5 * self._ahead, _AHEAD[1])
            self._announce()

    def _advance(self, group: Group) -> None:
        """Fill the group's lanes, and train them an epoch."""
        self._obey(group)
        if not group.count:
            return
        try:
            admitted = group.fill(self._kinds.most)
        except BaseException as error:
            self._trouble.went_wrong(group, error)
            self._announce()
            return
        if admitted:
            self.occupancy.admitted()
            self._showing.started(admitted)
        stack = group.stack
        assert stack is not None
        self._look_ahead(group, stack)
        if isinstance(stack, Stack) and type(stack.backend) is ByTorch:
            stack.backend.compiled = self._compiles(group, stack)
        began = perf_counter()
        try:
            ended = stack.tick()
        except BaseException as error:
            self._trouble.went_wrong(group, error)
            self._announce()
            return
        took = perf_counter() - began
        group.seconds += took
        group.charge(took)
        group.ticked = time.monotonic()
        self.occupancy.tick(stack.lanes, len(ended))
        self._epoch_ended(group, ended)
        if not group.count:
            group.stack = None  # its memory, and the data's, for other groups

    def _obey(self, group: Group) -> None:
        """End what the controller does not want any more."""
        pruned = [(n, run) for n, run in group.runs.items() if self._inbox.pruned(run.job.number)]
        for trial in {run.trial for _, run in pruned if run.trial}:
            self._kinds.withdraw(trial)
            self._endings.prune_folds(trial)
        self._endings.finish(group, [lane for lane, run in pruned if not run.trial], pruned=True)
        for run in group.all:
            why = self._inbox.stopped(run.job.number)
            if why is not None:
                group.drop(run)
                self._trouble.fail(run, why)

    def _compiles(self, group: Group, stack: Stack) -> bool:
        # Full stacks alone: each other size would have to be compiled anew.
        if self._compile is False or stack.lanes < min(group.most, self._kinds.most):
            return False
        if not self._compile and group.seconds <= _COMPILED_AFTER:
            return False
        why = why_not_compiled(self._device)
        if why is not None and why not in self._reasons:
            self._reasons.add(why)
            log.warning("steps are not compiled: %s", why)
        return why is None

    def _epoch_ended(self, group: Group, ended: Sequence[Ended]) -> None:
        """Send what all lanes reported in this epoch, in one message, and end the trials that are over."""
        reports, over = [], []
        for one in ended:
            run = group.runs[one.lane]
            training = run.training
            if one.error is not None:
                group.release(one.lane)
                self._trouble.ended_by(run, one.error)
                continue
            row, metric = training.rows[-1], training.recipe.metric
            if metric in row and run.trial is None:
                reports.append(Reported(run.job.number, row[metric], row["epoch"]))
            if one.over:
                over.append(one.lane)
        if reports:
            self._send(*reports)
        self._endings.finish(group, over)
        self._showing.epoch_ended(group)

    def _interrupt(self) -> None:
        """Leave a checkpoint of every trial that has one to leave, and end them all."""
        for group in self._kinds:
            group.park()
            for run in group.waiting:
                if run.saved is not None:
                    # Its loggers are told now what it has logged so far: later, only the rest.
                    left = {**run.saved["training"], "told": []}
                    self._showing.keep(run, {**run.saved, "training": left})
        for group in self._kinds:
            while group.waiting:
                run = group.waiting.pop(0)
                step = run.training.epoch - 1
                self._trouble.fail(run, TrialInterrupted(f"the sweep was stopped at step {step}"))
        for job in self._alone:
            self._endings.fail(_new_folder(job), TrialInterrupted("the sweep was stopped"))
        self._alone = []


def _new_folder(job: Job) -> RunFolder:
    return RunFolder(Life.of(job, "fused"), overrides=job.overrides)
