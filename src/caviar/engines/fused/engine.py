"""The fused engine: takes jobs, puts them on lanes, and advances lanes a tick (an epoch) at a time."""

from __future__ import annotations

import errno
import logging
import time
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from caviar.engines.base import Inbox, Send
from caviar.engines.fused.calibration import choose
from caviar.engines.fused.compiling import can_compile
from caviar.engines.fused.configs import PlainConfigs
from caviar.engines.fused.files import (
    BEST,
    LANE,
    BestFew,
    RunFolder,
    Writer,
    lightning_checkpoint,
    log_line,
)
from caviar.engines.fused.stack import Ended, Stack
from caviar.engines.fused.training import Training
from caviar.engines.solo import Solo, Task
from caviar.experiment import NotFusibleError, Recipe
from caviar.runs.active import TrialInterrupted
from caviar.runs.folder import Result
from caviar.trials import Failed, Finished, Job, Pruned, Ready, Reported, Started

log = logging.getLogger(__name__)

_SHOWN_EVERY = 1.0
"""Seconds between two writings of a running trial's metrics.csv."""

MOST = 64
"""Lanes of a stack, where nothing else is said or measured."""

_COMPILED_AFTER = 120.0
"""Seconds of a kind's steps after which compiling them cannot lose more than it may have cost."""

_LEFT_WAITING = 60.0
"""Seconds after which a group that others have outnumbered gets its tick."""


@dataclass
class _Run:
    """A job under way on a lane, or waiting for one.

    Attributes:
        saved: where it goes on from, if it has been on a lane before.
    """

    job: Job
    training: Training
    folder: RunFolder
    began: float
    saved: dict[str, Any] | None = None
    shown: float = 0.0


@dataclass
class _Group:
    """Trials that may share a stack of at most ``most`` lanes; 0: they go by solo."""

    stack: Stack | None = None
    waiting: list[_Run] = field(default_factory=list)
    runs: dict[int, _Run] = field(default_factory=dict)
    most: int = MOST
    native: bool = False
    seconds: float = 0.0
    ticked: float = field(default_factory=time.monotonic)
    small_for: int = 0

    @property
    def count(self) -> int:
        return len(self.runs) + len(self.waiting)


class Fused:
    """Trains many trials at once.

    Trials of one kind (architecture, optimizer, data, batch size) share a stack; each kind has its
    own. A trial that cannot be a lane is run by solo, when no lane is busy.

    Args:
        task: the function that a solo trial calls.
        recipe: config, plain and resolved -> `Recipe`.
        lanes: trials in a stack at most, halved when memory runs out; None: as many as pay.
        auto: find out for each kind of trial whether lanes pay at all, and run it by solo if not.
        keep: how many trials, the best of this worker, keep their checkpoint; None for all.
        compile: on a CPU, train the lanes by the loop in C++ (see `native`), which takes a third of
            the time. Where that does not know the network, and on a GPU, compile the steps of full
            stacks by torch: at once, or (None) once a stack has taken longer than the 10 to 60
            seconds that it takes. False: neither. Either changes results by rounding.
        share: jobs that it takes at once at most: more would leave other workers without.

    Attributes:
        lanes: how many jobs it takes: those on lanes, and some that wait for a lane to become free.
    """

    def __init__(
        self,
        task: Task,
        recipe: Callable[[Mapping[str, Any]], Recipe],
        lanes: int | None = None,
        keep: int | None = 16,
        compile: bool | None = None,
        auto: bool = False,
        share: int | None = None,
    ) -> None:
        self._share = share
        self._compile = compile
        self._given = lanes
        self._most = lanes or MOST
        self._auto = auto
        self._keep = keep
        self._recipe = recipe
        self._solo = Solo(task)
        self._configs = PlainConfigs()
        self._groups: dict[Hashable, _Group] = {}
        self._alone: list[Job] = []
        self._best: BestFew | None = None
        self._reasons: set[str] = set()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        # Until a kind of trial is known to be fusible, one job at a time: nothing waits in vain.
        self.lanes = 1
        self.lane_ticks = self.busy_lane_ticks = 0

    def serve(self, inbox: Inbox, send: Send) -> None:
        """Run jobs until the inbox is closed and all that were taken have ended."""
        self._inbox, self._send, self._writer = inbox, send, Writer()
        try:
            while True:
                self._take()
                if inbox.interrupted:
                    self._interrupt()
                    if inbox.closed:
                        return
                elif group := self._next_group():
                    self._advance(group)
                elif self._alone:
                    self._run_alone(self._alone.pop(0))
                elif inbox.closed:
                    return
                self._writer.check()
        finally:
            self._writer.close()
            if self.lane_ticks:
                share = self.busy_lane_ticks / self.lane_ticks
                log.info("%d lane-epochs, lanes busy %.1f %%", self.busy_lane_ticks, 100 * share)

    def _count(self) -> int:
        return sum(group.count for group in self._groups.values()) + len(self._alone)

    def _take(self) -> None:
        """Take in all jobs that have come; wait for one where there is nothing else to do."""
        while self._count() < self.lanes:
            job = self._inbox.take(0 if self._count() else None)
            if job is None:
                return
            self._configs.learn(job.base)
            try:
                self._begin(job)
            except NotFusibleError as error:
                if str(error) not in self._reasons:
                    self._reasons.add(str(error))
                    log.warning("not fusible, so by solo: %s", error)
                self._alone.append(job)

    def _begin(self, job: Job) -> None:
        began = perf_counter()
        result = Result(
            state="RUNNING",
            number=job.number,
            metric=job.metric,
            params=job.params,
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        if job.retry_of is not None:
            result.facts["retry_of"] = job.retry_of
        folder = RunFolder(Path(job.folder), result, overrides=job.overrides)
        try:
            config, folder.config = self._configs(job)
            recipe = self._recipe(config)
            training = Training(recipe)
        except NotFusibleError:
            raise
        except Exception as error:
            self._send(Started(job.number))
            self._writer.do(folder.begin)
            self._fail(job, folder, error, began)
            return
        group = self._group(training)
        if not group.most:
            self._alone.append(job)
            return
        folder.files = recipe.files
        result.seed = recipe.seed
        self._best = self._best or BestFew(self._keep, recipe.direction)
        self._writer.do(folder.begin)
        saved = _saved(job.resume_from)
        group.waiting.append(_Run(job, training, folder, began, saved))
        self._send(Started(job.number))

    def _group(self, training: Training) -> _Group:
        """The group that a training belongs to."""
        group = self._groups.get(training.key)
        if group is None:
            most, native = self._most, self._compile is not False
            if self._auto or self._given is None:
                choice = choose(training, self._given, self._device, native)
                most = choice.lanes if self._auto else choice.lanes or self._most
                native = choice.native
            group = self._groups[training.key] = _Group(most=most, native=native)
            self._announce()
        return group

    def _announce(self) -> None:
        """Tell how many jobs there is room for.

        Half as many again as there are lanes: the next trials are here when lanes become free. More
        where there are several groups, so that each finds enough to fill its stack.
        """
        sizes = sorted(
            (min(group.most, self._most) for group in self._groups.values()), reverse=True
        )
        lanes = sum(sizes[:4]) + (sizes[0] // 2 if sizes else 0)
        lanes = max(1, lanes if self._share is None else min(lanes, self._share))
        if lanes != self.lanes:
            self.lanes = lanes
            self._send(Ready(lanes=lanes))

    def _next_group(self) -> _Group | None:
        """The group with the most trials, unless another has been left waiting for long."""
        groups = [group for group in self._groups.values() if group.count]
        if not groups:
            return None
        oldest = min(groups, key=lambda group: group.ticked)
        if time.monotonic() - oldest.ticked > _LEFT_WAITING:
            return oldest
        return max(groups, key=lambda group: group.count)

    def _advance(self, group: _Group) -> None:
        try:
            stack = self._fill(group)
            stack.compiled = self._compiles(group, stack)
            began = perf_counter()
            ended = stack.tick()
            group.seconds += perf_counter() - began
        except Exception as error:
            if not _out_of_memory(error):
                raise
            self._halve(group, error)
            return
        group.ticked = time.monotonic()
        self.lane_ticks += stack.lanes
        self.busy_lane_ticks += len(ended)
        for one in ended:
            self._lane_ended_epoch(group, stack, one)
        if not group.count:
            group.stack = None  # its memory, and the data's, for other groups

    def _compiles(self, group: _Group, stack: Stack) -> bool:
        # Full stacks alone: each other size would have to be compiled anew.
        if stack.native or self._compile is False or stack.lanes < min(group.most, self._most):
            return False
        paid_off = bool(self._compile) or group.seconds > _COMPILED_AFTER
        return paid_off and can_compile(self._device)

    def _fill(self, group: _Group) -> Stack:
        """Bring the group's stack to the size that its trials need, and fill its free lanes."""
        # A lane that is free computes all the same; a few are left, not to resize at every arrival.
        grain = max(1, group.count // 8)
        wanted = min(-(-group.count // grain) * grain, group.most, self._most)
        stack = group.stack
        coming = [run.training for run in group.waiting[:wanted]]
        group.small_for = group.small_for + 1 if stack and wanted < stack.lanes else 0
        if stack is None or not group.runs:
            if stack is None or wanted > stack.lanes or not all(map(stack.holds, coming)):
                stack = Stack(coming, wanted, self._device)
                if group.native and (why := stack.go_native()):
                    log.info("by torch, not by the loop in C++: %s", why)
                    group.native = False
        elif wanted > stack.lanes or not all(map(stack.holds, coming)):
            stack = self._resized(group, stack, max(wanted, stack.lanes), coming)
        elif group.small_for > 2 and len(group.runs) <= wanted:
            # Not at once: refills may be on their way.
            stack = self._resized(group, stack, wanted, coming)
        group.stack = stack
        while group.waiting and stack.free:
            run = group.waiting.pop(0)
            lane = stack.admit(run.training)
            group.runs[lane] = run
            if run.saved is not None:
                try:
                    stack.load(lane, run.saved)
                except (KeyError, RuntimeError) as error:
                    log.warning("trial %d begins afresh: %s", run.job.number, error)
                run.saved = None
        return stack

    def _resized(
        self, group: _Group, stack: Stack, lanes: int, coming: Sequence[Training]
    ) -> Stack:
        group.small_for = 0
        before = stack.active
        other = stack.resized(lanes, coming)
        group.runs = {new: group.runs[lane] for new, lane in enumerate(before)}
        return other

    def _lane_ended_epoch(self, group: _Group, stack: Stack, ended: Ended) -> None:
        run = group.runs[ended.lane]
        training, number = run.training, run.job.number
        if ended.error is not None:
            self._release(group, stack, ended.lane)
            self._show(run)
            self._fail(run.job, run.folder, ended.error, run.began)
            return
        metric = training.recipe.metric
        row = training.rows[-1]
        if metric in row:
            self._send(Reported(number, row[metric], row["epoch"]))
        if ended.over:
            self._finish(group, stack, ended.lane)
        elif self._inbox.pruned(number):
            self._finish(group, stack, ended.lane, pruned=True)
        elif time.monotonic() - run.shown > _SHOWN_EVERY:
            self._show(run)

    def _show(self, run: _Run) -> None:
        run.shown = time.monotonic()
        rows = list(run.training.rows)
        if rows:
            self._writer.do(lambda: run.folder.rows(rows))

    def _release(self, group: _Group, stack: Stack, lane: int) -> None:
        stack.release(lane)
        del group.runs[lane]

    def _finish(self, group: _Group, stack: Stack, lane: int, pruned: bool = False) -> None:
        run = group.runs[lane]
        training, recipe, folder = run.training, run.training.recipe, run.folder
        best = self._best
        assert best is not None
        checkpoint = None
        if recipe.checkpoint and training.score is not None and best.wants(training.score):
            assert training.best_epoch is not None
            checkpoint = lightning_checkpoint(
                stack.best_weights(lane),
                recipe.prefix,
                recipe.hyper_parameters,
                training.best_epoch,
                (training.best_epoch + 1) * training.course.steps,
            )
        self._release(group, stack, lane)
        if training.score is None and not pruned:
            error = ValueError(f"metric={recipe.metric}: never logged, no validation ran")
            self._fail(run.job, folder, error, run.began)
            return
        seconds = perf_counter() - run.began
        facts: dict[str, Any] = {} if run.job.retry_of is None else {"retry_of": run.job.retry_of}
        reported = [row[recipe.metric] for row in training.rows if recipe.metric in row]
        last = reported[-1] if reported else None
        if not pruned:
            facts |= {
                "metric": recipe.metric,
                "best_epoch": training.best_epoch,
                "metrics": training.best_metrics,
                "seed": recipe.seed,
                "checkpoint": BEST if checkpoint else None,
            }
        result = folder.result
        result.state = "PRUNED" if pruned else "COMPLETE"
        result.value = last if pruned else training.score
        result.seconds = round(seconds, 6)
        result.take(facts)
        rows = training.rows

        def write() -> None:
            folder.rows(rows)
            if checkpoint is not None:
                folder.best(checkpoint)
            if not pruned:
                folder.log(
                    log_line(
                        "caviar.engines.fused",
                        f"{recipe.metric}={training.score:.4f} at epoch {training.best_epoch}: "
                        f"{folder.path}",
                    )
                )
            try:
                folder.end()
            except OSError as error:
                self._send(_not_written(run.job, error, seconds))
                return
            if checkpoint is not None:
                best.add(training.score or 0.0, folder)
            if pruned:
                self._send(Pruned(run.job.number, last, seconds, facts))
            else:
                assert training.score is not None
                self._send(Finished(run.job.number, [training.score], seconds, facts))

        self._writer.do(write)

    def _fail(self, job: Job, folder: RunFolder, error: BaseException, began: float) -> None:
        seconds = perf_counter() - began
        line = " ".join(f"{type(error).__name__}: {error}".split())
        trace = "".join(traceback.format_exception(error))
        folder.result.state, folder.result.error = "FAIL", line
        folder.result.seconds = round(seconds, 6)

        def write() -> None:
            folder.log(trace)
            try:
                folder.end()
            except OSError as problem:
                self._send(_not_written(job, problem, seconds))
                return
            self._send(Failed(job.number, line, trace, seconds))

        self._writer.do(write)

    def _run_alone(self, job: Job) -> None:
        base = replace(job.base, pickled=self._configs.pickled[job.base.id])
        self._solo.serve_one(replace(job, base=base), self._inbox, self._send)

    def _halve(self, group: _Group, error: BaseException) -> None:
        """Go on with half as many lanes; what was on them keeps its place."""
        self._most = min(self._most, group.most)
        if self._most == 1:
            run = next(iter(group.runs.values()), None) or group.waiting.pop(0)
            group.runs.clear()
            group.stack = None
            self._fail(run.job, run.folder, error, run.began)
            return
        self._most //= 2
        log.warning("out of memory: %d lanes from now on (%s)", self._most, error)
        self._park(group)
        if self._device == "cuda":
            torch.cuda.empty_cache()
        self._announce()

    def _park(self, group: _Group) -> None:
        stack = group.stack
        if stack is not None:
            stack.rewind()
            for lane, run in group.runs.items():
                run.saved = stack.save(lane)
        group.waiting[:0] = group.runs.values()
        group.runs = {}
        group.stack = None

    def _interrupt(self) -> None:
        """Leave a checkpoint of every trial that has one to leave, and end them all."""
        for group in self._groups.values():
            self._park(group)
            for run in group.waiting:
                saved = run.saved
                if saved is not None:
                    self._show(run)
                    self._writer.do(
                        lambda folder=run.folder, saved=saved: folder.checkpoint(LANE, saved)
                    )
                step = run.training.epoch - 1
                error = TrialInterrupted(f"the sweep was stopped at step {step}")
                self._fail(run.job, run.folder, error, run.began)
            group.waiting = []
        for job in self._alone:
            began = perf_counter()
            folder = RunFolder(Path(job.folder), Result(state="RUNNING", number=job.number))
            self._writer.do(folder.begin)
            self._fail(job, folder, TrialInterrupted("the sweep was stopped"), began)
        self._alone = []


def _saved(resume_from: str | None) -> dict[str, Any] | None:
    """What an earlier try of a trial left, where it was on a lane."""
    path = Path(resume_from or "", LANE)
    if resume_from is None or not path.is_file():
        return None
    return torch.load(path, weights_only=True)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _not_written(job: Job, error: OSError, seconds: float) -> Failed:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    line = f"{type(error).__name__}: {error}"
    return Failed(job.number, line, "", seconds, hopeless=full)
