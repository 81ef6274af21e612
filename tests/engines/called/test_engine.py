"""The engine serves trials on lanes that call their module as solo does: the same folders and events."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import project.recipe
from caviar.base.messages import Failed, Finished, Job, Pruned, Reported, Said
from caviar.engines.called.probe import Probe
from caviar.engines.lanes import calibration
from caviar.engines.lanes.engine import Fused
from caviar.engines.solo import Solo
from caviar.lightning.in_memory.module import DataModule
from project.classifier import Classifier
from project.data.synthetic import Synthetic
from project.recipe import recipe
from project.train import main
from tests.engines.test_engine import Jobs, Memory, jobs  # noqa: F401 - a fixture

DOUBLE = "trainer.precision=64-true"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_CALLED_LANES", {"cpu": (4,)})


@pytest.fixture
def by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template's own training, as where its files are not as they ship."""
    monkeypatch.setattr(
        project.recipe, "changed", lambda package, around=False: None if around else "a file"
    )


def served(given: list[Job], **options: Any) -> Memory:
    inbox = Memory(given)
    Fused(main, recipe, **{"lanes": 8, "keep": None, **options}).serve(inbox, inbox.send)
    return inbox


def rates(count: int) -> list[dict[str, Any]]:
    return [
        {"optimizer.lr": 0.003 * (n + 1), "seed": n, "trainer.max_epochs": 3 + n % 2}
        for n in range(count)
    ]


def test_the_templates_own_training_is_called_as_solo_runs_it(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
) -> None:
    over = (DOUBLE, "metrics=classification", "scheduler=cosine", "model.loss.label_smoothing=0.1")
    lanes = served(jobs(rates(5), *over))
    alone = Memory(jobs(rates(5), *over, to="alone"))
    Solo(main).serve(alone, alone.send)
    assert not lanes.of(Said)
    mine, its = (sorted(one.of(Finished), key=lambda e: e.number) for one in (lanes, alone))
    for found, wanted in zip(mine, its, strict=True):
        assert found.values == pytest.approx(wanted.values, rel=1e-5)
        assert found.facts["engine"] == "fused"
        assert found.facts["best_epoch"] == wanted.facts["best_epoch"]
        assert found.facts["metrics"] == pytest.approx(wanted.facts["metrics"], rel=1e-5)
    reports = [sorted((e.number, e.step) for e in one.of(Reported)) for one in (lanes, alone)]
    assert reports[0] == reports[1]


class Read(DataModule):
    """Notes how often it is set up."""

    times: ClassVar[list[int]] = []

    def setup(self, stage: str | None = None) -> None:
        self.times.append(1)
        super().setup(stage)


def test_trials_that_describe_their_data_alike_read_it_once(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Synthetic, "datamodule", lambda self: Read(self))
    values = [{**one, "seed": 0, "trainer.max_epochs": 1} for one in rates(5)]
    ends = served(jobs(values, "data.data_seed=5")).of(Finished)
    assert [end.facts["engine"] for end in ends] == ["fused"] * 5
    assert len(Read.times) == 1


BOOM = "task._target_=tests.engines.called.boom.Boom", "allow=[tests.]"

SMOOTHED = "model.loss.label_smoothing"


def test_a_step_that_raises_fails_its_own_trial_and_no_other(jobs: Jobs) -> None:  # noqa: F811
    values = [{**one, SMOOTHED: 0.3 if n == 2 else 0.1} for n, one in enumerate(rates(4))]
    inbox = served(jobs(values, *BOOM))
    (failed,) = inbox.of(Failed)
    assert (failed.number, failed.error) == (2, "ValueError: boom")
    assert sorted(end.number for end in inbox.of(Finished)) == [0, 1, 3]


def test_what_turns_out_to_be_no_lane_goes_by_a_trainer_from_its_beginning(
    jobs: Jobs,  # noqa: F811
) -> None:
    inbox = served(jobs([{**one, SMOOTHED: 0.4} for one in rates(2)], *BOOM))
    (said,) = inbox.of(Said)
    assert "boom.py:" in said.text
    assert "it takes a number out of a tensor" in said.text
    ends = sorted(inbox.of(Finished), key=lambda end: end.number)
    assert [end.number for end in ends] == [0, 1]
    assert {end.facts["engine"] for end in ends} == {"solo"}


def test_a_trial_that_is_no_number_any_more_fails_alone(jobs: Jobs, by_its_code: None) -> None:  # noqa: F811
    values = [{**one, "optimizer.lr": 1e30 if n == 1 else 0.01} for n, one in enumerate(rates(3))]
    inbox = served(jobs(values))
    (failed,) = inbox.of(Failed)
    assert failed.number == 1
    assert "is nan at epoch" in failed.error
    assert len(inbox.of(Finished)) == 2


def test_what_keeps_trials_from_sharing_lanes_is_said_once(jobs: Jobs, by_its_code: None) -> None:  # noqa: F811
    values = [
        {**one, "trainer.max_epochs": 1, "model.width": 8 + n, "model.depth": 1 + n % 2}
        for n, one in enumerate(rates(10))
    ]
    given = jobs(values)
    named = [replace(job, overrides=[f"{k}={v}" for k, v in value.items()])
             for job, value in zip(given, values, strict=True)]  # fmt: skip
    (said,) = served(named).of(Said)
    assert said.text.startswith("few trials share lanes: they do who have the same ")
    assert "model.width" in said.text
    assert "optimizer.lr" not in said.text
    assert "seed" not in said.text
    alike = [replace(job, overrides=["model.width=8"]) for job in jobs(rates(10), to="alike")]
    assert not served(alike).of(Said)


def test_a_trial_that_is_pruned_leaves_its_lane(jobs: Jobs, by_its_code: None) -> None:  # noqa: F811
    inbox = Memory(jobs([{**one, "trainer.max_epochs": 6} for one in rates(3)]))

    def prune(event: Any) -> None:
        if isinstance(event, Reported) and (event.number, event.step) == (1, 2):
            inbox.unwanted.add(1)

    inbox.when = prune
    Fused(main, recipe, lanes=8, keep=None).serve(inbox, inbox.send)
    (pruned,) = inbox.of(Pruned)
    assert pruned.number == 1
    assert len(inbox.of(Finished)) == 2


@pytest.mark.parametrize("over", [(), ("scheduler=plateau",), ("optimizer=sgd",)], ids=str)
def test_what_is_interrupted_goes_on_to_the_same_end(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
    tmp_path: Path,
    over: tuple[str, ...],
) -> None:
    values = [{**one, "trainer.max_epochs": 6} for one in rates(3)]
    given = (DOUBLE, "callbacks=early_stopping", "callbacks.early_stopping.patience=4", *over)
    whole = served(jobs(values, *given, to="whole"))
    inbox = Memory(jobs(values, *given, to="cut"))

    def stop(event: Any) -> None:
        if isinstance(event, Reported) and event.step == 2:
            inbox.interrupted = True

    inbox.when = stop
    Fused(main, recipe, lanes=8, keep=None).serve(inbox, inbox.send)
    assert all(end.interrupted for end in inbox.of(Failed))
    later = [
        replace(job, resume_from=str(tmp_path / f"cut/{job.number:04}/checkpoints"))
        for job in jobs(values, *given, to="again")
    ]
    again = served(later)
    mine, its = (sorted(one.of(Finished), key=lambda e: e.number) for one in (again, whole))
    assert len(its) == 3
    for found, wanted in zip(mine, its, strict=True):
        assert found.values == pytest.approx(wanted.values, rel=1e-9)
        assert found.facts["metrics"] == pytest.approx(wanted.facts["metrics"], rel=1e-9)
    for number in range(3):
        tables = [
            (tmp_path / f"{to}/{number:04}/metrics.csv").read_text() for to in ("again", "whole")
        ]
        assert len(tables[0].splitlines()) == len(tables[1].splitlines())


def test_folds_are_lanes_too(jobs: Jobs, by_its_code: None) -> None:  # noqa: F811
    over = (DOUBLE, "data.folds=3")
    lanes = served(jobs(rates(2), *over))
    alone = Memory(jobs(rates(2), *over, to="alone"))
    Solo(main).serve(alone, alone.send)
    mine, its = (sorted(one.of(Finished), key=lambda e: e.number) for one in (lanes, alone))
    assert [e.values for e in mine] == [pytest.approx(e.values, rel=1e-6) for e in its]
    assert {e.facts["engine"] for e in mine} == {"fused"}


def test_a_checkpoint_of_a_lane_is_one_of_lightnings(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
    tmp_path: Path,
) -> None:
    served(jobs(rates(1)))
    path = tmp_path / "trials/0000/checkpoints/best.ckpt"
    module = Classifier.load_from_checkpoint(path, weights_only=True)
    assert module(torch.zeros(2, 4)).shape == (2, 3)


def test_auto_takes_lanes_where_they_are_faster(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "TRAINER_STEP", 1.0)
    assert {e.facts["engine"] for e in served(jobs(rates(2)), auto=True).of(Finished)} == {"fused"}
    monkeypatch.setattr(calibration, "TRAINER_STEP", -1.0)
    other = jobs(rates(2), "data.batch_size=8", to="other")
    assert {e.facts["engine"] for e in served(other, auto=True).of(Finished)} == {"solo"}


def test_an_average_of_the_weights_is_carried_and_is_what_is_kept(
    jobs: Jobs,  # noqa: F811
    tmp_path: Path,
) -> None:
    over = (DOUBLE, "callbacks=ema", "scheduler=cosine")
    values = [{**one, "callbacks.ema.decay": 0.7 + n / 10} for n, one in enumerate(rates(3))]
    lanes = served(jobs(values, *over))
    alone = Memory(jobs(values, *over, to="alone"))
    Solo(main).serve(alone, alone.send)
    assert not lanes.of(Said)
    mine, its = (sorted(one.of(Finished), key=lambda e: e.number) for one in (lanes, alone))
    for found, wanted in zip(mine, its, strict=True):
        assert found.facts["engine"] == "fused"
        assert found.facts["best_epoch"] == wanted.facts["best_epoch"]
        assert found.facts["metrics"] == pytest.approx(wanted.facts["metrics"], rel=1e-5)
        kept = [
            torch.load(
                tmp_path / f"{to}/{found.number:04}/checkpoints/best.ckpt", weights_only=True
            )
            for to in ("trials", "alone")
        ]
        assert kept[0]["state_dict"].keys() == kept[1]["state_dict"].keys()
        for name, tensor in kept[1]["state_dict"].items():
            torch.testing.assert_close(kept[0]["state_dict"][name], tensor, rtol=1e-9, atol=1e-9)


MINE = "+callbacks.mine._target_=tests.engines.called.boom."


def test_a_callback_of_ones_own_is_each_trials_own(jobs: Jobs) -> None:  # noqa: F811
    over = ("allow=[tests.]", f"{MINE}EndsAt", "+callbacks.mine.epoch=0")
    values = [{"seed": n, "callbacks.mine.epoch": n} for n in range(4)]
    inbox = served(jobs(values, *over, "trainer.max_epochs=9"))
    (failed,) = inbox.of(Failed)
    assert (failed.number, failed.error) == (3, "ValueError: the third")
    last = {e.number: max(r.step for r in inbox.of(Reported) if r.number == e.number)
            for e in inbox.of(Finished)}  # fmt: skip
    assert last == {0: 0, 1: 1, 2: 2}
    assert {e.facts["engine"] for e in inbox.of(Finished)} == {"fused"}


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ((f"{MINE}Batches",), "callbacks.mine: on_train_batch_end"),
        (
            (f"{MINE}EndsAt", "+callbacks.mine.epoch=${dir}/a"),
            "callbacks.mine.epoch is in the run folder",
        ),
        (("callbacks=swa",), "callbacks.swa: on_train_epoch_start puts its own schedule"),
    ],
    ids=str,
)
def test_a_callback_that_is_no_lanes_is_named(
    jobs: Jobs,  # noqa: F811
    over: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Solo, "serve_one", lambda self, job, inbox, send: None)
    inbox = served(jobs([{}, {}], "allow=[tests.]", *over))
    (line,) = inbox.of(Said)
    assert line.text.startswith(f"not on lanes, each by its own Trainer: {said}")


def test_what_is_asked_of_an_epochs_first_step_is_no_part_of_how_long_a_step_takes(
    jobs: Jobs,  # noqa: F811
    by_its_code: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    check = Probe.check
    monkeypatch.setattr(Probe, "check", lambda *given: (asked.append(1), check(*given))[1])
    monkeypatch.setattr(Fused, "_advance", lambda *_: pytest.fail("nothing is to train"))
    with pytest.raises(pytest.fail.Exception):
        served(jobs(rates(1)))
    assert len(asked) == 2  # the check of a step, and the first of those that are measured
