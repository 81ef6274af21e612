"""A trial of several folds, on lanes: what solo makes of it, fold by fold, and it goes on where it was."""

import csv
from pathlib import Path
from typing import Any

import pytest

from caviar.base.messages import Event, Failed, Finished, Job, Pruned, Reported
from caviar.engines.solo import Solo
from project.train import main
from tests.engines.test_engine import Jobs, Memory, fused, jobs, rates, result, serve

__all__ = ["jobs"]  # the fixture

FOLDS = ("data.folds=3", "data.samples=120", "data.noise=2.0")


def files(job: Job) -> set[str]:
    return {str(path.relative_to(job.folder)) for path in Path(job.folder).rglob("*")}


def rows(job: Job, fold: int) -> list[dict[str, str]]:
    text = (Path(job.folder) / f"fold-{fold}/metrics.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


def test_folds_on_lanes_are_the_folds_of_solo(jobs: Jobs) -> None:
    mine, its = jobs(rates(2), *FOLDS), jobs(rates(2), *FOLDS, to="solo")
    inbox, wanted = serve(mine), serve(its, Solo(main))
    assert fused().lanes == 1
    for one, other in zip(mine, its, strict=True):
        assert files(one) == {
            name for name in files(other) if not name.endswith(("last.ckpt", "log.txt"))
        } | {"log.txt"}
        found, its_result = result(one.folder), result(other.folder)
        assert found["value"] == pytest.approx(its_result["value"])
        assert found["facts"]["metrics"] == pytest.approx(its_result["facts"]["metrics"], rel=1e-4)
        for fold, told in enumerate(found["facts"]["folds"]):
            assert told == pytest.approx(its_result["facts"]["folds"][fold])
            assert (Path(one.folder) / told["checkpoint"]).is_file()
            assert len(rows(one, fold)) == len(rows(other, fold)) == 5
            for row, its_row in zip(rows(one, fold), rows(other, fold), strict=True):
                assert [float(v) for v in row.values()] == pytest.approx(
                    [float(v) for v in its_row.values()], rel=1e-4, abs=1e-5
                )
        told, its_told = ([(r.step, r.value) for r in box.of(Reported) if r.number == one.number]
                          for box in (inbox, wanted))  # fmt: skip
        assert told == [(step, pytest.approx(value)) for step, value in its_told]
        assert [step for step, _ in told] == [0, 1, 2]


def test_a_fold_that_fails_fails_its_trial_once_and_no_other(jobs: Jobs) -> None:
    mine = jobs(
        [{"optimizer.lr": 0.01, "optimizer.weight_decay": 0.0},
         {"optimizer.lr": 1e30, "optimizer.weight_decay": 1.0}],
        *FOLDS,
    )  # fmt: skip
    ends = serve(mine).ends()
    assert isinstance(ends[0], Finished)
    assert isinstance(ends[1], Failed)
    assert "FloatingPointError" in result(mine[1].folder)["error"]


def test_a_pruned_trial_lets_go_of_all_its_folds(jobs: Jobs) -> None:
    mine = jobs([{"optimizer.lr": 0.01}, {"optimizer.lr": 0.02}], *FOLDS)
    inbox = Memory(mine)

    def prune(event: Event) -> None:
        if isinstance(event, Reported) and event.number == 1:
            inbox.unwanted.add(1)

    inbox.when = prune
    fused().serve(inbox, inbox.send)
    ends = inbox.ends()
    assert isinstance(ends[0], Finished)
    if isinstance(ends[1], Pruned):  # else its last fold had ended with the first
        assert result(mine[1].folder)["state"] == "PRUNED"
    assert len([e for e in inbox.of(Reported) if e.number == 1]) <= 3


def test_a_stopped_trial_lets_go_of_all_its_folds_and_ends_once(jobs: Jobs) -> None:
    mine = jobs(rates(3, **{"trainer.max_epochs": 20}), *FOLDS)
    inbox = Memory(mine)
    ticks = 0

    def pruned(number: int) -> bool:
        nonlocal ticks
        ticks += 1
        inbox.stops = {1: "Timeout: enough"} if ticks > 20 else {}
        return False

    inbox.pruned = pruned  # type: ignore[method-assign]
    fused(lanes=8).serve(inbox, inbox.send)
    ends = inbox.ends()
    assert [type(ends[number]) for number in range(3)] == [Finished, Failed, Finished]
    assert result(mine[1].folder)["error"] == "Timeout: enough"


@pytest.mark.parametrize("when", ["in the first fold", "after a fold"])
def test_an_interrupted_trial_goes_on_with_the_folds_that_were_not_done(
    jobs: Jobs, when: str
) -> None:
    undisturbed = jobs(rates(2), *FOLDS, to="undisturbed")
    serve(undisturbed)
    first = jobs(rates(2), *FOLDS, to="first")
    inbox = Memory(first)
    ticks = 0

    def take(timeout: float | None) -> Any:
        nonlocal ticks
        ticks += 1
        inbox.interrupted |= ticks == (5 if when == "in the first fold" else 12)
        return inbox.jobs.pop(0) if inbox.jobs else None

    inbox.take = take  # type: ignore[method-assign]
    fused().serve(inbox, inbox.send)
    done = list(Path(first[0].folder).glob("fold-*/fold.json"))
    assert bool(done) == (when == "after a fold")
    interrupted = [end for end in inbox.ends().values() if isinstance(end, Failed)]
    assert interrupted
    assert all(end.error.startswith("TrialInterrupted") for end in interrupted)
    again = jobs(rates(2), *FOLDS, to="again")
    for number, job in enumerate(again):
        again[number] = Job(**{**vars(job), "resume_from": f"{first[number].folder}/checkpoints"})
    assert all(isinstance(end, Finished) for end in serve(again).ends().values())
    for mine, its in zip(again, undisturbed, strict=True):
        for fold in range(3):
            assert rows(mine, fold) == rows(its, fold)
        assert result(mine.folder)["facts"]["folds"] == result(its.folder)["facts"]["folds"]
        assert not list(Path(mine.folder).glob("fold-*/checkpoints/lane.ckpt"))


def test_only_the_best_few_trials_keep_their_folds_checkpoints(jobs: Jobs) -> None:
    mine = jobs([{"optimizer.lr": 10.0 ** -(1 + n % 4)} for n in range(4)], *FOLDS)
    ends = serve(mine, keep=1).ends()
    scores = {number: end.values[0] for number, end in ends.items()}  # type: ignore[union-attr]
    having = {
        job.number: len(list(Path(job.folder).glob("fold-*/checkpoints/best.ckpt"))) for job in mine
    }
    (kept,) = (number for number, count in having.items() if count)
    assert having[kept] == 3
    assert scores[kept] == max(scores.values())
    for job in mine:
        told = [fold["checkpoint"] is not None for fold in result(job.folder)["facts"]["folds"]]
        assert told == [job.number == kept] * 3
