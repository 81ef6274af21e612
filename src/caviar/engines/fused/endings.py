"""How a trial on a lane ends: its files are written whole, and then the controller is told."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from caviar.engines.base import Send
from caviar.engines.fused.best import BestFew
from caviar.engines.fused.files import BEST, RunFolder, lightning_checkpoint, log_line
from caviar.engines.fused.groups import Group, Run
from caviar.engines.fused.writer import Writer
from caviar.runs.folder import Result
from caviar.trials import Event, Failed, Finished, Job, Pruned


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
        self._best: BestFew[Run] | None = None
        self._untold: set[int] = set()

    @property
    def untold(self) -> int:
        return len(self._untold)

    def finish(self, group: Group, over: Sequence[Over]) -> None:
        """End the trials on these lanes, all of one tick, and empty the lanes.

        Of all that complete together only the best few have a checkpoint written.
        """
        ended = [(one, group.runs[one.lane]) for one in over]
        scored = [
            (run.training.score, run)
            for one, run in ended
            if not one.pruned and run.training.recipe.checkpoint and run.training.score is not None
        ]
        if scored and self._best is None:
            self._best = BestFew(self._keep, scored[0][1].training.recipe.direction)
        among, dropped = self._best.add(scored) if self._best else ([], [])
        best = {id(run) for (_, run), is_best in zip(scored, among, strict=True) if is_best}
        for one, run in ended:
            checkpoint = self._checkpoint(group, one.lane) if id(run) in best else None
            group.release(one.lane)
            self._finish(run, one.pruned, checkpoint)
        for run in dropped:
            self._writer.do(run.job.number, run.folder.drop_best)

    def fail(
        self,
        job: Job,
        folder: RunFolder,
        error: BaseException,
        began: float,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """End a trial by an error."""
        seconds = perf_counter() - began
        line = " ".join(f"{type(error).__name__}: {error}".split())
        trace = "".join(traceback.format_exception(error))
        result = replace(folder.result, state="FAIL", error=line, seconds=round(seconds, 6))
        event = Failed(job.number, line, trace, seconds)
        self._end(job.number, folder, result, event, rows, log=trace)

    def _finish(self, run: Run, pruned: bool, checkpoint: Mapping[str, Any] | None) -> None:
        training, job, metric = run.training, run.job, run.training.recipe.metric
        score = training.score
        if score is None and not pruned:
            error = ValueError(f"metric={metric}: never logged, no validation ran")
            self.fail(job, run.folder, error, run.began, training.rows)
            return
        seconds = perf_counter() - run.began
        facts: dict[str, Any] = {} if job.retry_of is None else {"retry_of": job.retry_of}
        result = replace(run.folder.result, seconds=round(seconds, 6), facts={})
        event: Finished | Pruned
        log = ""
        if pruned:
            last = next((row[metric] for row in reversed(training.rows) if metric in row), None)
            result.state, result.value = "PRUNED", last
            event = Pruned(job.number, last, seconds, facts)
        else:
            assert score is not None
            facts |= {
                "metric": metric,
                "best_epoch": training.best_epoch,
                "metrics": training.best_metrics,
                "seed": training.recipe.seed,
                "checkpoint": BEST if checkpoint else None,
            }
            result.state, result.value = "COMPLETE", score
            event = Finished(job.number, [score], seconds, facts)
            at = f"{metric}={score:.4f} at epoch {training.best_epoch}: {run.folder.path}"
            log = log_line("caviar.engines.fused", at)
        result.take(facts)
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
    ) -> None:
        self._untold.add(number)

        def write() -> None:
            try:
                folder.end(result, rows, log, checkpoint)
            except OSError as error:
                self._send(_not_written(number, error, result.seconds or 0.0))
            else:
                self._send(event)
            finally:
                self._untold.discard(number)

        self._writer.do(number, write)

    @staticmethod
    def _checkpoint(group: Group, lane: int) -> dict[str, Any]:
        training = group.runs[lane].training
        assert group.stack is not None
        assert training.best_epoch is not None
        return lightning_checkpoint(
            group.stack.best_weights(lane),
            training.recipe.prefix,
            training.recipe.hyper_parameters,
            training.best_epoch,
            (training.best_epoch + 1) * training.course.steps,
        )


def _not_written(number: int, error: OSError, seconds: float) -> Failed:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Failed(number, f"{type(error).__name__}: {error}", "", seconds, hopeless=full)
