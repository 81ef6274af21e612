"""How a trial on a lane ends: its files are written whole, and then the controller is told."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from caviar.base.errors import name_and_text, traceback_of
from caviar.base.messages import Event, Failed, Finished, Job, Pruned, Started
from caviar.base.objectives import as_given, told
from caviar.engines.base import Send
from caviar.engines.lanes.best import BestFew
from caviar.engines.lanes.folds import Folded, FoldFolder
from caviar.engines.lanes.groups import Group, Run
from caviar.engines.lanes.run_folder import BEST, RunFolder, log_line
from caviar.engines.lanes.writer import Writer
from caviar.runs.active import TrialInterrupted
from caviar.runs.folder import Result
from caviar.runs.folds import facts_of, mean_scores


@dataclass(frozen=True)
class Over:
    """A lane whose trial is over: it has had its last epoch, or is not wanted any more."""

    lane: int
    pruned: bool = False


class Endings:
    """Ends trials.

    Args:
        writer: who writes.
        send: told of each end, from the writer's threads.
        keep: how many trials, the best, keep their checkpoint; None for all.

    Attributes:
        untold: how many trials have ended that the controller has not been told of yet.
    """

    def __init__(self, writer: Writer, send: Send, keep: int | None) -> None:
        self._writer = writer
        self._send = send
        self._keep = keep
        self._best: BestFew[Run | Folded] | None = None
        self._untold: set[int] = set()

    @property
    def untold(self) -> int:
        return len(self._untold)

    def finish(self, group: Group, over: Sequence[Over]) -> None:
        """End the trials on these lanes, all of one tick, and empty the lanes.

        Of all that complete together only the best few have a checkpoint written.
        """
        folds = [one for one in over if group.runs[one.lane].trial]
        for one in folds:
            self._end_fold(group, one.lane)
        ended = [(one, group.runs[one.lane]) for one in over if one not in folds]
        scored = [
            (run.training.score, run)
            for one, run in ended
            if not one.pruned and run.training.recipe.checkpoint and run.training.score is not None
        ]
        among = self._among_best(scored, scored[0][1].training.recipe.direction) if scored else []
        best = {id(run) for (_, run), is_best in zip(scored, among, strict=True) if is_best}
        for one, run in ended:
            try:
                checkpoint = self._checkpoint(group, one.lane) if id(run) in best else None
            except BaseException as error:
                group.release(one.lane)
                self.fail(run, error)
                continue
            group.release(one.lane)
            self._finish(run, one.pruned, checkpoint)

    def finish_folds(self, trial: Folded) -> None:
        """End a trial all of whose folds have ended."""
        job, folds, recipe = trial.job, trial.so_far, trial.recipes[0]
        if not trial.complete:
            error = ValueError(f"metric={recipe.metric}: never logged, no validation ran")
            self.fail_job(job, trial.folder, error, trial.began)
            return
        if trial.began is None:  # an earlier try had done all of them
            trial.began = perf_counter()
            self._send(Started(job.number))
        scores = mean_scores(folds)
        if not self._among_best([(scores[0], trial)], recipe.direction)[0]:
            self._writer.do(job.number, trial.drop_best)
            folds = [{**fold, "checkpoint": None} for fold in folds]
        facts = {"metric": as_given(recipe.objectives), "seed": recipe.seed, **facts_of(folds)}
        result, event = _completed(trial, scores, facts)
        at = f"{told(recipe.objectives, scores)} over {len(folds)} folds: {trial.folder.path}"
        log = log_line("caviar.engines.fused", at)
        self._end(job.number, trial.folder, result, event, (), log, folds=trial)

    def prune_folds(self, trial: Folded) -> None:
        """End a trial whose folds are not wanted any more."""
        folds = trial.so_far
        result, event = _pruned(trial, mean_scores(folds)[0] if folds else None)
        self._end(trial.job.number, trial.folder, result, event, (), "", folds=trial)

    def _among_best(self, scored: Sequence[tuple[float, Any]], direction: str) -> list[bool]:
        """Which of these keep their checkpoints; others, of before, that do not any more lose them."""
        self._best = self._best or BestFew(self._keep, direction)
        among, dropped = self._best.add(scored)
        for one in dropped:
            drop = one.drop_best if isinstance(one, Folded) else one.folder.drop_best
            self._writer.do(one.job.number, drop)
        return among

    def _end_fold(self, group: Group, lane: int) -> None:
        """Empty a lane whose fold has had its last epoch, and end the trial with its last fold."""
        run = group.runs[lane]
        training, trial = run.training, run.trial
        assert trial is not None
        assert isinstance(run.folder, FoldFolder)
        wanted = training.recipe.checkpoint and training.best_epoch is not None
        checkpoint = self._checkpoint(group, lane) if wanted else None
        group.release(lane)
        facts = {
            "score": None if training.score is None else as_given(training.scores),
            "best_epoch": training.best_epoch,
            "metrics": training.best_metrics,
            "checkpoint": BEST if checkpoint else None,
        }
        folder, rows = run.folder, training.rows
        self._writer.do(run.job.number, lambda: folder.done(rows, checkpoint, facts))
        trial.done[run.fold] = facts
        if reports := trial.reports():
            self._send(*reports)
        if trial.over:
            self.finish_folds(trial)

    def fail(self, run: Run, error: BaseException | str) -> None:
        """End a trial, off its lane already, by an error."""
        self.fail_job(run.job, run.folder, error, run.began, run.training.rows)

    def fail_job(
        self,
        job: Job,
        folder: RunFolder,
        error: BaseException | str,
        began: float | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """End a trial by an error, one that never had a lane too.

        Args:
            error: what happened, or, where nothing did, the line that says why it ends.
        """
        if began is None:
            self._send(Started(job.number))
        seconds = 0.0 if began is None else perf_counter() - began
        if isinstance(error, BaseException):
            line, trace = name_and_text(error), traceback_of(error)
        else:
            line, trace = error, ""
        result = replace(folder.result, state="FAIL", error=line, seconds=round(seconds, 6))
        stopped = isinstance(error, TrialInterrupted)
        event = Failed(job.number, line, trace, seconds, interrupted=stopped)
        self._end(job.number, folder, result, event, rows, log=trace or f"{line}\n")

    def _finish(self, run: Run, pruned: bool, checkpoint: Mapping[str, Any] | None) -> None:
        training, job, metric = run.training, run.job, run.training.recipe.metric
        if training.score is None and not pruned:
            error = ValueError(f"metric={metric}: never logged, no validation ran")
            self.fail(run, error)
            return
        if pruned:
            last = next((row[metric] for row in reversed(training.rows) if metric in row), None)
            result, event = _pruned(run, last)
            log = ""
        else:
            scores, names = training.scores, training.recipe.objectives
            facts = {
                "metric": as_given(names),
                "best_epoch": training.best_epoch,
                "metrics": training.best_metrics,
                "seed": training.recipe.seed,
                "checkpoint": BEST if checkpoint else None,
            }
            result, event = _completed(run, scores, facts)
            at = f"{told(names, scores)} at epoch {training.best_epoch}: {run.folder.path}"
            log = log_line("caviar.engines.fused", at)
        self._end(job.number, run.folder, result, event, training.rows, log, checkpoint)

    def _end(
        self,
        number: int,
        folder: RunFolder,
        result: Result,
        event: Event,
        rows: Sequence[Mapping[str, Any]],
        log: str,
        checkpoint: Mapping[str, Any] | None = None,
        folds: Folded | None = None,
    ) -> None:
        self._untold.add(number)

        def write() -> None:
            try:
                if folds is not None and folds.error is not None:
                    raise folds.error
                folder.end(result, rows, log, checkpoint)
            except BaseException as error:
                self._send(_not_written(number, error, result.seconds or 0.0))
            else:
                self._send(event)
            finally:
                self._untold.discard(number)

        self._writer.do(number, write)

    @staticmethod
    def _checkpoint(group: Group, lane: int) -> dict[str, Any]:
        assert group.stack is not None
        return group.stack.checkpoint(lane)


def _completed(
    one: Run | Folded, scores: list[float], facts: dict[str, Any]
) -> tuple[Result, Finished]:
    """What a complete trial's ``result.json`` says, and its controller is told."""
    result, seconds = _result(one, "COMPLETE", as_given(scores), facts)
    return result, Finished(one.job.number, scores, seconds, _facts(one, facts))


def _pruned(one: Run | Folded, last: float | None) -> tuple[Result, Pruned]:
    """The same of a pruned trial; ``last`` is the last value that it reported."""
    result, seconds = _result(one, "PRUNED", last, {})
    return result, Pruned(one.job.number, last, seconds, _facts(one, {}))


def _result(
    one: Run | Folded, state: str, value: float | list[float] | None, facts: dict[str, Any]
) -> tuple[Result, float]:
    assert one.began is not None
    seconds = perf_counter() - one.began
    result = replace(one.folder.result, seconds=round(seconds, 6), facts={})
    result.state, result.value = state, value
    result.take(_facts(one, facts))
    return result, seconds


def _facts(one: Run | Folded, facts: dict[str, Any]) -> dict[str, Any]:
    """``facts``, what trained, and of which earlier trial this is another try, if it is one."""
    again = {} if one.job.retry_of is None else {"retry_of": one.job.retry_of}
    return {"engine": "fused", **again, **facts}


def _not_written(number: int, error: BaseException, seconds: float) -> Failed:
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return Failed(number, name_and_text(error), "", seconds, hopeless=full)
    return Failed(number, name_and_text(error), traceback_of(error), seconds)
