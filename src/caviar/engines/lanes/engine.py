"""The fused engine: takes jobs, puts them on lanes, and advances lanes a tick (an epoch) at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf

from caviar.base.errors import name_and_text
from caviar.base.messages import Job, Ready, Reported, Said, Started
from caviar.engines.base import Inbox, Send
from caviar.engines.experiment import Called, Folds, NotFusibleError, Recipe
from caviar.engines.gpu import GpuLostError, gpu_lost, out_of_memory
from caviar.engines.hydra_job import HydraJobs
from caviar.engines.lanes.calibration import choose
from caviar.engines.lanes.configs import PlainConfigs
from caviar.engines.lanes.endings import Endings, Over
from caviar.engines.lanes.folds import Folded
from caviar.engines.lanes.groups import Group, Occupancy, Run
from caviar.engines.lanes.run_folder import LANE, RunFolder, read_lane
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.ways import calls, training_of
from caviar.engines.lanes.writer import Writer
from caviar.engines.progress import Ended
from caviar.engines.solo import Solo, Task
from caviar.engines.stacked.backend import ByTorch
from caviar.engines.stacked.compiling import why_not_compiled
from caviar.runs.active import TrialInterrupted
from caviar.runs.life import Life

if TYPE_CHECKING:
    from caviar.engines.lanes.ways import AnyStack, AnyTraining

log = logging.getLogger(__name__)

_SHOWN_AFTER = 1.0
"""Seconds after which a trial has a folder to look at; many are over before that."""

_SHOWN_EVERY = 1.0
"""Seconds between two writings of a running trial's metrics.csv."""

DEFAULT_LANES = 64
"""Lanes of a stack, where nothing else is said or measured."""

_MOST = {"cpu": DEFAULT_LANES, "cuda": 4096}
"""Lanes at most, where nothing is said: a GPU has work for thousands, and `choose` sees what they bring."""

_COMPILED_AFTER = 120.0
"""Seconds of a kind's steps after which compiling them cannot lose more than it may have cost."""

_LEFT_WAITING = 60.0
"""Seconds after which a group that others have outnumbered gets its tick."""

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
        self._given = lanes
        self._auto = auto
        self._keep = keep
        self._checkpoint_every = checkpoint_every
        self._recipe = recipe
        self._solo = Solo(task)
        self._configs = PlainConfigs()
        self._hydra = HydraJobs()
        self._groups: dict[Hashable, Group] = {}
        self._alone: list[Job] = []
        self._reasons: set[str] = set()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._most = lanes or _MOST[self._device]
        self._ahead = _AHEAD[0]
        # Until a kind of trial is known to be fusible, one job at a time: nothing waits in vain.
        self.lanes = 1
        self.occupancy = Occupancy()

    def serve(self, inbox: Inbox, send: Send) -> None:
        """Run jobs until the inbox is closed and all that were taken have ended."""
        self._inbox, self._send, self._writer = inbox, send, Writer()
        self._endings = Endings(self._writer, send, self._keep)
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
            if self.occupancy.lanes:
                log.info("%s", self.occupancy)

    def _count(self) -> int:
        return sum(group.count for group in self._groups.values()) + len(self._alone)

    def _take(self) -> None:
        """Take in all jobs that have come; wait for one where there is nothing else to do."""
        while self._count() < self.lanes:
            job = self._inbox.take(0 if self._count() else None)
            if job is None:
                return
            self._configs.learn(job.base)
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
        config, folder.config = self._configs(job)
        recipe = self._recipe(config)
        recipes = recipe.recipes if isinstance(recipe, Folds) else [recipe]
        native = self._compile is not False
        trainings = [training_of(each, native, self._say) for each in recipes]
        if not all(self._group(training).most for training in trainings):
            self._alone.append(job)
            return
        folder.life.result.seed = recipes[0].seed
        if isinstance(recipe, Folds):
            self._begin_folds(Folded(job, folder, recipes), trainings)
            return
        folder.files = recipes[0].files
        if recipes[0].loggers is not None:
            folder.tell = recipes[0].loggers(self._live(job))
        saved = read_lane(Path(job.resume_from, LANE) if job.resume_from else None, folder)
        self._group(trainings[0]).waiting.append(Run(job, trainings[0], folder, saved=saved))

    def _begin_folds(self, trial: Folded, trainings: Sequence[AnyTraining]) -> None:
        trial.go_on()
        runs = []
        for fold, training in enumerate(trainings):
            if fold not in trial.done:
                saved = read_lane(trial.lane_file(fold), trial.folder)
                run = Run(trial.job, training, trial.places[fold], saved=saved)
                run.trial, run.fold = trial, fold
                runs.append(run)
        for run in runs:
            self._group(run.training).waiting.append(run)
        if trial.over:
            self._endings.finish_folds(trial)

    def _fail(self, run: Run, error: BaseException | str) -> None:
        """End a trial, off its lane already, by an error; if one of its folds failed, all of it."""
        if run.trial is None:
            self._endings.fail(run.folder, error, run.training)
        else:
            self._withdraw(run.trial)
            self._endings.fail(run.trial.folder, error)

    def _withdraw(self, trial: Folded) -> None:
        for group in self._groups.values():
            group.withdraw(trial)

    def _group(self, training: AnyTraining) -> Group:
        """The group that a training belongs to."""
        group = self._groups.get(training.key)
        if group is None:
            most, native, graph = self._most, self._compile is not False, False
            if self._auto or self._given is None or calls(training):
                try:
                    choice = choose(training, self._given, self._device, native)
                except NotFusibleError:
                    raise
                except BaseException as error:
                    if gpu_lost(error):
                        raise GpuLostError(error) from error
                    # Nobody else's: a Trainer alone comes to the same, or bears it, or says it better.
                    raise NotFusibleError(
                        f"its steps could not be measured: {name_and_text(error)}"
                    ) from error
                most = (
                    choice.lanes if self._auto else choice.lanes or min(self._most, DEFAULT_LANES)
                )
                native, graph = choice.native, choice.graph
            group = self._groups[training.key] = Group(most, native, self._device, graph)
            self._announce()
        return group

    def _announce(self) -> None:
        """Send how many jobs there is room for.

        More than there are lanes: the next trials are here when lanes become free. More still where
        there are several groups, so that each finds enough to fill its stack.
        """
        sizes = sorted(
            (min(group.most, self._most) for group in self._groups.values()), reverse=True
        )
        lanes = sum(sizes[:4]) + (int(self._ahead * sizes[0]) if sizes else 0)
        lanes = max(1, lanes if self._share is None else min(lanes, self._share))
        if lanes != self.lanes:
            self.lanes = lanes
            self._send(Ready(lanes=lanes))

    def _look_ahead(self, group: Group, stack: AnyStack) -> None:
        """Ask for more trials in advance, where lanes stay empty although all that may come have.

        Where a pruner ends most trials early, many lanes become free at once, and it takes a while
        until the controller has been told of that and the next trials are here.
        """
        missing = stack.lanes - len(group.runs)
        full = self._count() + self._endings.unsent >= self.lanes
        if missing > stack.lanes // 16 and full and self._ahead < _AHEAD[1]:
            self._ahead = min(1.5 * self._ahead, _AHEAD[1])
            self._announce()

    def _next_group(self) -> Group | None:
        """The group with the most trials, unless another has been left waiting for long."""
        groups = [group for group in self._groups.values() if group.count]
        if not groups:
            return None
        oldest = min(groups, key=lambda group: group.ticked)
        if time.monotonic() - oldest.ticked > _LEFT_WAITING:
            return oldest
        return max(groups, key=lambda group: group.count)

    def _advance(self, group: Group) -> None:
        """Fill the group's lanes, and train them an epoch."""
        self._obey(group)
        if not group.count:
            return
        try:
            admitted = group.fill(self._most)
        except BaseException as error:
            self._went_wrong(group, error)
            return
        self._started(admitted)
        stack = group.stack
        assert stack is not None
        self._look_ahead(group, stack)
        if isinstance(stack, Stack) and type(stack.backend) is ByTorch:
            stack.backend.compiled = self._compiles(group, stack)
        began = perf_counter()
        try:
            ended = stack.tick()
        except BaseException as error:
            self._went_wrong(group, error)
            return
        group.seconds += perf_counter() - began
        group.ticked = time.monotonic()
        self.occupancy.tick(stack.lanes, len(ended))
        self._epoch_ended(group, ended)
        if not group.count:
            group.stack = None  # its memory, and the data's, for other groups

    def _went_wrong(self, group: Group, error: BaseException) -> None:
        """Find the trial that caused an error in a group's tick, or in filling its lanes."""
        if gpu_lost(error):
            raise GpuLostError(error) from error
        if out_of_memory(error):
            self._halve(group, error)
        elif isinstance(error, NotFusibleError):
            self._leave_lanes(group, error)
        elif group.count == 1:
            self._fail(group.take_first(), error)
        elif group.admitting is not None:
            group.waiting.remove(group.admitting)
            group.park()
            self._fail(group.admitting, error)
        else:
            self._one_by_one(group, error)

    def _leave_lanes(self, group: Group, why: NotFusibleError) -> None:
        """Train a group's trials by a Trainer each, from the beginning: their steps are none for lanes."""
        group.most = 0
        group.park()
        jobs = {run.job.number: run.job for run in group.waiting}
        for run in list(group.waiting):
            if run.trial is not None:
                self._withdraw(run.trial)
        group.waiting.clear()
        for job in jobs.values():
            self._by_trainer(job, why)
        self._announce()

    def _one_by_one(self, group: Group, error: BaseException) -> None:
        """Train each trial of a failed tick for an epoch on its own; only those that raise are ended."""
        log.warning("%d trials, an epoch each by itself: %s", group.count, name_and_text(error))
        group.park()
        done = 0
        for run in group.waiting[: min(self._most, group.most)]:
            if run not in group.waiting:
                continue  # gone with another fold of its trial
            group.waiting.remove(run)
            alone = Group(1, group.native, self._device, waiting=[run])
            self._advance(alone)
            alone.park()
            group.waiting[done:done] = alone.waiting
            done += len(alone.waiting)
        group.ticked = time.monotonic()

    def _obey(self, group: Group) -> None:
        """End what the controller does not want any more."""
        pruned = [(n, run) for n, run in group.runs.items() if self._inbox.pruned(run.job.number)]
        for trial in {run.trial for _, run in pruned if run.trial}:
            self._withdraw(trial)
            self._endings.prune_folds(trial)
        over = [Over(lane, pruned=True) for lane, run in pruned if not run.trial]
        self._endings.finish(group, over)
        for run in group.all:
            why = self._inbox.stopped(run.job.number)
            if why is not None:
                group.drop(run)
                self._fail(run, why)

    def _started(self, runs: Sequence[Run]) -> None:
        """Send `Started` for each trial that has its first lane."""
        if runs:
            self.occupancy.admitted()
        begun = []
        for run in [run for run in runs if run.folder.life.began is None]:
            run.shown = run.kept = time.monotonic()
            whole = run.trial or run
            if whole.folder.life.began is None:
                whole.folder.life.begin()
                self._writer.do(run.job.number, whole.folder.begin, after=_SHOWN_AFTER)
                begun.append(Started(run.job.number))
            if run.trial:
                run.folder.life.begin()
        if begun:
            self._send(*begun)

    def _compiles(self, group: Group, stack: Stack) -> bool:
        # Full stacks alone: each other size would have to be compiled anew.
        if self._compile is False or stack.lanes < min(group.most, self._most):
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
                self._ended_by(run, one.error)
                continue
            row, metric = training.rows[-1], training.recipe.metric
            if metric in row and run.trial is None:
                reports.append(Reported(run.job.number, row[metric], row["epoch"]))
            if one.over:
                over.append(Over(one.lane))
        if reports:
            self._send(*reports)
        self._endings.finish(group, over)
        now, every, due = time.monotonic(), self._checkpoint_every, []
        for lane, run in group.runs.items():
            if now - run.shown > _SHOWN_EVERY:
                self._show(run)
            if every and now - run.kept > every:
                due.append(lane)
        if due:
            assert group.stack is not None
            group.stack.fetch(due)
            for lane in due:
                group.runs[lane].kept = now
                self._keep_lane(group.runs[lane], group.stack.save(lane))

    def _ended_by(self, run: Run, error: BaseException) -> None:
        """End a trial, off its lane already, by what its epoch raised; or begin it anew by a Trainer."""
        if not isinstance(error, NotFusibleError):
            self._fail(run, error)
            return
        if run.trial is not None:
            self._withdraw(run.trial)
        self._by_trainer(run.job, error)

    def _show(self, run: Run) -> None:
        run.shown = time.monotonic()
        rows = list(run.training.rows)
        if rows:
            self._writer.do(run.job.number, lambda: run.folder.rows(rows))

    def _keep_lane(self, run: Run, saved: dict[str, Any]) -> None:
        self._writer.do(run.job.number, lambda: run.folder.checkpoint(LANE, saved))

    def _run_alone(self, job: Job) -> None:
        self._solo.serve_one(self._whole(job), self._inbox, self._send)

    def _whole(self, job: Job) -> Job:
        """A job with its base, which was sent with the first that has it."""
        base = replace(job.base, pickled=self._configs.pickled[job.base.id])
        return replace(job, base=base)

    def _live(self, job: Job) -> dict[str, Any]:
        """A job's config as a Trainer would have it: its folder is in it."""
        config = self._hydra.config(self._whole(job), Path(job.folder))
        live = OmegaConf.to_container(config, resolve=True)
        assert isinstance(live, dict)
        return {str(key): value for key, value in live.items()}

    def _halve(self, group: Group, error: BaseException) -> None:
        """Go on with half as many lanes; what was on them keeps its place."""
        most = min(self._most, group.most)
        if most == 1 and len(group.runs) <= 1:
            self._fail(group.take_first(), error)
            return
        self._most = max(1, most // 2)
        log.warning("out of memory: %d lanes from now on (%s)", self._most, error)
        group.park()
        if self._device == "cuda":
            torch.cuda.empty_cache()
        self._announce()

    def _interrupt(self) -> None:
        """Leave a checkpoint of every trial that has one to leave, and end them all."""
        for group in self._groups.values():
            group.park()
            for run in group.waiting:
                if run.saved is not None:
                    # Its loggers are told now what it has logged so far: later, only the rest.
                    left = {**run.saved["training"], "told": []}
                    self._keep_lane(run, {**run.saved, "training": left})
        for group in self._groups.values():
            while group.waiting:
                run = group.waiting.pop(0)
                step = run.training.epoch - 1
                self._fail(run, TrialInterrupted(f"the sweep was stopped at step {step}"))
        for job in self._alone:
            self._endings.fail(_new_folder(job), TrialInterrupted("the sweep was stopped"))
        self._alone = []


def _new_folder(job: Job) -> RunFolder:
    return RunFolder(Life.of(job, "fused"), overrides=job.overrides)
