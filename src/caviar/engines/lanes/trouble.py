"""What comes of trials when a tick, or the filling of lanes, has failed: the one that did it is found."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from caviar.base.errors import name_and_text
from caviar.base.messages import Job
from caviar.engines.experiment import NotFusibleError
from caviar.engines.gpu import GpuLostError, gpu_lost, out_of_memory
from caviar.engines.lanes.endings import Endings
from caviar.engines.lanes.groups import Group, Run
from caviar.engines.lanes.kinds import Kinds

log = logging.getLogger(__name__)


@dataclass
class Trouble:
    """Ends the trials that fail, and no others.

    Attributes:
        kinds: all groups.
        endings: ends trials.
        advance: trains a group an epoch, and calls `went_wrong` for what that raises.
        by_trainer: has a job run by solo.
    """

    kinds: Kinds
    endings: Endings
    advance: Callable[[Group], None]
    by_trainer: Callable[[Job, NotFusibleError], None]

    def fail(self, run: Run, error: BaseException | str) -> None:
        """End a trial, off its lane already, by an error; if one of its folds failed, all of it."""
        if run.trial is None:
            self.endings.fail(run.folder, error, run.training)
        else:
            self.kinds.withdraw(run.trial)
            self.endings.fail(run.trial.folder, error)

    def ended_by(self, run: Run, error: BaseException) -> None:
        """End a trial, off its lane already, by what its epoch raised; or begin it anew by a Trainer."""
        if not isinstance(error, NotFusibleError):
            self.fail(run, error)
            return
        self._leave(run)
        self.by_trainer(run.job, error)

    def went_wrong(self, group: Group, error: BaseException) -> None:
        """Find the trial that caused an error in a group's tick, or in filling its lanes.

        Raises:
            GpuLostError: this process can train none of them any more.
        """
        if gpu_lost(error):
            raise GpuLostError(error) from error
        if out_of_memory(error):
            self._halve(group, error)
        elif isinstance(error, NotFusibleError):
            self._leave_lanes(group, error)
        elif group.count == 1:
            self.fail(group.take_first(), error)
        elif group.admitting is not None:
            group.waiting.remove(group.admitting)
            group.park()
            self.fail(group.admitting, error)
        else:
            self._one_by_one(group, error)

    def _halve(self, group: Group, error: BaseException) -> None:
        """Go on with half as many lanes; what was on them keeps its place."""
        most = min(self.kinds.most, group.most)
        if most == 1 and len(group.runs) <= 1:
            self.fail(group.take_first(), error)
            return
        self.kinds.most = max(1, most // 2)
        log.warning("out of memory: %d lanes from now on (%s)", self.kinds.most, error)
        group.park()
        if group.device == "cuda":
            torch.cuda.empty_cache()

    def _leave_lanes(self, group: Group, why: NotFusibleError) -> None:
        """Train a group's trials by a Trainer each, from the beginning: their steps are none for lanes."""
        group.most = 0
        group.park()
        jobs = {run.job.number: run.job for run in group.waiting}
        for run in list(group.waiting):
            self._leave(run)
        group.waiting.clear()
        for job in jobs.values():
            self.by_trainer(job, why)

    def _leave(self, run: Run) -> None:
        run.folder.give_away()
        if run.trial is not None:
            for folder in (run.trial.folder, *run.trial.places):
                folder.give_away()
            self.kinds.withdraw(run.trial)

    def _one_by_one(self, group: Group, error: BaseException) -> None:
        """Train each trial of a failed tick for an epoch on its own; only those that raise are ended."""
        log.warning("%d trials, an epoch each by itself: %s", group.count, name_and_text(error))
        group.park()
        done = 0
        for run in group.waiting[: min(self.kinds.most, group.most)]:
            if run not in group.waiting:
                continue  # gone with another fold of its trial
            group.waiting.remove(run)
            alone = Group(
                1, "native" if group.by == "native" else "torch", group.device, waiting=[run]
            )
            self.advance(alone)
            alone.park()
            group.waiting[done:done] = alone.waiting
            done += len(alone.waiting)
        group.ticked = time.monotonic()
