"""Loggers get from a lane what they get from a Trainer, several at once, and by any kind of lane."""

import csv
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import project.recipe
from caviar.base import security
from caviar.base.messages import Failed, Finished, Pruned, Reported, Said
from caviar.engines.lanes import calibration
from caviar.engines.solo import Solo
from project.classifier import Classifier
from project.train import main
from tests.engines.test_engine import Jobs, Memory, fused, jobs, rates  # noqa: F401 - a fixture

LOGGERS = (
    "logger=tensorboard", "+logger.lightning._target_=lightning.pytorch.loggers.CSVLogger",
    "+logger.lightning.save_dir=${dir}", "+logger.lightning.name=null", "+logger.lightning.version=csv",
    "trainer.precision=64-true", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_CALLED_LANES", {"cpu": (4,)})


class Logs(Classifier):
    """Logs its loss each step, too, and the epoch's mean."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss


class Draws(Classifier):
    """Asks for its logger as an epoch ends."""

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.loggers[1].experiment.add_text("said", "a word", self.current_epoch)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> step and value of each event in a trial's folder."""
    held = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(one.step, one.value) for one in held.Scalars(tag)] for tag in held.Tags()["scalars"]
    }


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "csv/metrics.csv").read_text().splitlines()))


def assert_told_the_same(folder: Path, other: Path) -> None:
    mine, its = scalars(folder), scalars(other)
    assert list(mine) == list(its) != []
    for tag, events in its.items():
        assert [step for step, _ in mine[tag]] == [step for step, _ in events], tag
        assert [v for _, v in mine[tag]] == pytest.approx([v for _, v in events], rel=1e-6), tag
    found, wanted = rows(folder), rows(other)
    assert [sorted(row) for row in found] == [sorted(row) for row in wanted]
    for row, its_row in zip(found, wanted, strict=True):
        assert row["step"] == its_row["step"]
        assert row["epoch"] == its_row["epoch"]
    named = [sorted(one.name for one in place.rglob("*") if "events" not in one.name)
             for place in (folder, other)]  # fmt: skip
    assert set(named[0]) <= set(named[1])
    assert {"hparams.yaml", "metrics.csv"} <= set(named[0])
    for name in ("tensorboard/hparams.yaml", "csv/hparams.yaml"):
        mine_of, its_of = (
            [line for line in (place / name).read_text().splitlines() if str(place) not in line]
            for place in (folder, other)
        )
        assert mine_of == its_of


@pytest.mark.parametrize("kind", ["as it ships", "called", "logs steps"])
def test_loggers_are_told_by_lanes_what_a_trainer_tells_them(
    kind: str,
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = LOGGERS
    if kind != "as it ships":
        monkeypatch.setattr(
            project.recipe, "changed", lambda p, around=False: None if around else "x"
        )
    if kind == "logs steps":
        monkeypatch.setattr(security, "_allowed", lambda target: True)
        over = (*LOGGERS, f"task._target_={__name__}.Logs", "trainer.log_every_n_steps=2")
    mine, its = jobs(rates(3), *over), jobs(rates(3), *over, to="alone")
    lanes, alone = Memory(mine), Memory(its)
    fused().serve(lanes, lanes.send)
    Solo(main).serve(alone, alone.send)
    assert not lanes.of(Said), lanes.of(Said)
    assert not lanes.of(Failed), lanes.of(Failed)
    assert len(lanes.of(Finished)) == len(alone.of(Finished)) == 3
    for one, other in zip(mine, its, strict=True):
        assert_told_the_same(Path(one.folder), Path(other.folder))


def test_a_trial_that_fails_or_is_pruned_tells_what_it_had(jobs: Jobs) -> None:  # noqa: F811
    mine = jobs([{"optimizer.lr": 0.01}, {"optimizer.lr": 1e300}], *LOGGERS, "optimizer=sgd")
    inbox = Memory(mine)
    inbox.when = lambda event: isinstance(event, Reported) and inbox.unwanted.add(0)
    fused().serve(inbox, inbox.send)
    ends = inbox.ends()
    assert [type(ends[n]) for n in range(2)] == [Pruned, Failed]
    assert (
        len(scalars(Path(mine[0].folder))["train/loss"]) == 2
    )  # the epochs up to its first report
    assert (Path(mine[1].folder) / "tensorboard").is_dir()


def test_a_logger_that_takes_more_than_numbers_is_a_trainers(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(security, "_allowed", lambda target: True)
    graph = Memory(jobs(rates(1), *LOGGERS, "+logger.tensorboard.log_graph=true"))
    fused().serve(graph, graph.send)
    assert [one.text.rpartition(": ")[2] for one in graph.of(Said)] == [
        "logger.tensorboard.log_graph=True"
    ]
    asks = jobs(rates(2), *LOGGERS, f"task._target_={__name__}.Draws", to="asks")
    asking = Memory(asks)
    fused().serve(asking, asking.send)
    (said,) = asking.of(Said)
    assert "test_loggers.py:" in said.text
    assert "trainer.logger" in said.text
    assert len(asking.of(Finished)) == 2
    assert len(scalars(Path(asks[0].folder))["train/loss"]) == 3
