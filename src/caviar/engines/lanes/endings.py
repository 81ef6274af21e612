"""How a trial on a lane ends: its files are written whole, and then its event is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from caviar.base.direction import sign_of
from caviar.base.messages import Started
from caviar.base.objectives import as_given, scores_in_words
from caviar.base.scoring import Scoring
from caviar.engines.base import Send
from caviar.engines.experiment import Logged, Scored
from caviar.engines.lanes.folds import Folded, FoldFolder
from caviar.engines.lanes.groups import Group, Run
from caviar.engines.lanes.run_folder import BEST_CHECKPOINT, RunFolder, log_line
from caviar.engines.lanes.ways import AnyTraining
from caviar.engines.lanes.writer import Writer
from caviar.runs.folder import Result
from caviar.runs.folds import facts_of, mean_scores
from caviar.runs.life import End

T = TypeVar("T")


class BestFew(Generic[T]):
    """Keeps account of the best trials of a worker, which keep their checkpoints.

    Args:
        most: how many; None for all.
        direction: what is better.
    """

    def __init__(self, most: int | None, direction: str) -> None:
        self._most = most
        self._sign = -sign_of(direction)
        self._kept: list[tuple[float, T]] = []

    def add(self, ended: Sequence[tuple[float, T]]) -> tuple[list[bool], list[T]]:
        """Take in what has ended, score and trial.

        Returns:
            for each of them, whether it is among the best now; and the earlier trials that no longer are.
        """
        if self._most is None:
            return [True] * len(ended), []
        new = [(self._sign * score, one) for score, one in ended]
        # The sort is stable: of two that are as good, the earlier stays.
        ranked = sorted([*self._kept, *new], key=lambda pair: -pair[0])
        kept = ranked[: self._most]
        dropped = [pair[1] for pair in self._kept if not any(pair is one for one in kept)]
        self._kept = kept
        return [any(pair is one for one in kept) for pair in new], dropped


class Endings:
    """Ends trials.

    Args:
        writer: who writes.
        send: is given each end, from the writer's threads.
        keep: how many trials, the best, keep their checkpoint; None for all.

    Attributes:
        unsent: trials that have ended and whose event is not sent yet.
    """

    def __init__(self, writer: Writer, send: Send, keep: int | None) -> None:
        self._writer = writer
        self._send = send
        self._keep = keep
        self._best: BestFew[Run | Folded] | None = None
        self.unsent: set[int] = set()

    def finish(self, group: Group, lanes: Sequence[int], pruned: bool = False) -> None:
        """End the trials on these lanes, all of one tick, and empty the lanes.

        Of all that complete together only the best few have a checkpoint written.

        Args:
            pruned: they are not wanted any more; else they have had their last epoch.
        """
        stack = group.stack
        if stack is None:
            return  # and nobody has a lane
        runs = [(lane, group.runs[lane]) for lane in lanes]
        for lane, run in runs:
            if run.trial:
                self._end_fold(group, lane)
        ended = [(lane, run) for lane, run in runs if not run.trial]
        scored = [
            (score, run)
            for _, run in ended
            if not pruned
            and run.training.recipe.checkpoint
            and (score := run.training.scoring.value) is not None
        ]
        among = self._among_best(scored, scored[0][1].training.recipe.direction) if scored else []
        best = {id(run) for (_, run), is_best in zip(scored, among, strict=True) if is_best}
        if best:
            stack.fetch([lane for lane, run in ended if id(run) in best])
        for lane, run in ended:
            try:
                checkpoint = stack.checkpoint(lane) if id(run) in best else None
            except BaseException as error:
                group.release(lane)
                self.fail(run.folder, error, run.training)
                continue
            group.release(lane)
            self._finish(run, pruned, checkpoint)

    def finish_folds(self, trial: Folded) -> None:
        """End a trial all of whose folds have ended."""
        job, folds, recipe = trial.job, trial.so_far, trial.recipes[0]
        if len(folds) < len(trial.places):
            self.fail(trial.folder, _never_logged(recipe.metric))
            return
        self._begin(trial.folder)  # where an earlier try had done all of them
        scores = mean_scores(folds)
        if not self._among_best([(scores[0], trial)], recipe.direction)[0]:
            self._writer.do(job.number, trial.drop_best)
            folds = [{**fold, "checkpoint": None} for fold in folds]
        over = f"over {len(folds)} folds"
        end, log = _complete(trial.folder, recipe, scores, over, facts_of(folds))
        self._end(trial.folder, end, None, log, folds=trial)

    def prune_folds(self, trial: Folded) -> None:
        """End a trial whose folds are not wanted any more."""
        folds = trial.so_far
        end = trial.folder.life.pruned(mean_scores(folds)[0] if folds else None)
        self._end(trial.folder, end, None, "", folds=trial)

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
        run, stack = group.runs[lane], group.stack
        training, trial = run.training, run.trial
        assert stack is not None
        assert trial is not None
        assert isinstance(run.folder, FoldFolder)
        scoring = training.scoring
        wanted = training.recipe.checkpoint and scoring.epoch is not None
        checkpoint = stack.checkpoint(lane) if wanted else None
        group.release(lane)
        score = None if scoring.epoch is None else as_given(scoring.values)
        facts = {"score": score, **_epoch_facts(scoring, checkpoint)}
        folder, rows = run.folder, training.rows
        self._writer.do(run.job.number, lambda: folder.done(rows, checkpoint, facts))
        trial.done[run.fold] = facts
        if reports := trial.reports():
            self._send(*reports)
        if trial.over:
            self.finish_folds(trial)

    def fail(
        self, folder: RunFolder, error: BaseException | str, training: AnyTraining | None = None
    ) -> None:
        """End a trial, off its lane already or one that never had any, by an error.

        Args:
            error: what happened, or, where nothing did, the line that says why it ends.
            training: what it has come to, where it has been on a lane.
        """
        self._begin(folder)
        end = folder.life.failed(error)
        self._end(folder, end, training, end.log)

    def _begin(self, folder: RunFolder) -> None:
        if folder.life.began is None:
            folder.life.begin()
            self._send(Started(folder.number))

    def _finish(self, run: Run, pruned: bool, checkpoint: Mapping[str, Any] | None) -> None:
        training, folder, metric = run.training, run.folder, run.training.recipe.metric
        scoring = training.scoring
        if scoring.epoch is None and not pruned:
            self.fail(folder, _never_logged(metric), training)
            return
        if pruned:
            last = next((row[metric] for row in reversed(training.rows) if metric in row), None)
            end, log = folder.life.pruned(last), ""
        else:
            facts = _epoch_facts(scoring, checkpoint)
            end, log = _complete(folder, training.recipe, scoring.values, scoring.when, facts)
        self._end(folder, end, training, log, checkpoint)

    def _end(
        self,
        folder: RunFolder,
        end: End,
        training: AnyTraining | None,
        log: str,
        checkpoint: Mapping[str, Any] | None = None,
        folds: Folded | None = None,
    ) -> None:
        number = folder.number
        self.unsent.add(number)

        def write(result: Result) -> None:
            for place in folds.places if folds is not None else ():
                if place.error is not None:
                    raise place.error
            _log_all(folder, training, complete=result.state == "COMPLETE")
            folder.end(result, () if training is None else training.rows, log, checkpoint)

        def finish() -> None:
            try:
                self._send(end.written(write))
            finally:
                self.unsent.discard(number)

        self._writer.do(number, finish)


def _epoch_facts(scoring: Scoring, checkpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = BEST_CHECKPOINT if checkpoint else None
    return {"best_epoch": scoring.epoch, "metrics": scoring.metrics, "checkpoint": kept}


def _complete(
    folder: RunFolder, recipe: Scored, scores: list[float], over: str, facts: Mapping[str, Any]
) -> tuple[End, str]:
    """The end of a trial that has its scores, and its log's last line; ``over`` what they are, in words."""
    names = recipe.objectives
    folder.life.facts |= {"metric": as_given(names), "seed": recipe.seed, **facts}
    at = f"{scores_in_words(names, scores)} {over}: {folder.path}"
    return folder.life.complete(as_given(scores)), log_line("caviar.engines.fused", at)


def _log_all(folder: RunFolder, training: AnyTraining | None, complete: bool) -> None:
    """Give loggers what a training has logged."""
    if training is None or folder.log_all is None:
        return
    module = getattr(training, "module", None)
    data = None if module is None else module.trainer.datamodule
    folder.log_all(Logged(folder.config, training.for_loggers, complete, module, data))


def _never_logged(metric: str) -> ValueError:
    return ValueError(f"metric={metric}: never logged, no validation ran")
