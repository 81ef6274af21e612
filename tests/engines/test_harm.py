"""Whatever a trial on a lane does, it alone pays for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from caviar.base.messages import Failed, Finished
from caviar.engines.lanes import calibration, kinds
from caviar.engines.lanes.engine import Fused
from caviar.engines.lanes.training import Training
from caviar.executors.local import LocalExecutor
from caviar.executors.task import TaskSource
from project.recipe import recipe
from project.train import main
from tests.engines.lanes import around_steps
from tests.engines.test_engine import Jobs, jobs, rates, result, serve  # noqa: F401 - a fixture
from tests.executors import deadly


class Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text")


ERRORS = {
    "ValueError: own words": ValueError("own words"),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "SystemExit: 3": SystemExit(3),
    "MemoryError": MemoryError(),
    "RecursionError: deep": RecursionError("deep"),
    "UserWarning: now an error": UserWarning("now an error"),
    "Mute: (no text: its __str__ raises RuntimeError)": Mute(),
    "UnicodeError: \\ud800": UnicodeError("\ud800"),
}

Spoil = Callable[[Any, BaseException], Any]


def raising(error: BaseException) -> Callable[..., Any]:
    def raises(*_: Any) -> Any:
        raise error

    return raises


def in_its_order(made: Any, error: BaseException) -> Any:
    return replace(made, order=raising(error))


def in_its_schedule(made: Any, error: BaseException) -> Any:
    return replace(made, schedule=raising(error))


def in_its_network(made: Any, error: BaseException) -> Any:
    return replace(made, network=raising(error), architecture=None)


class Unsaveable(dict[str, Any]):
    """Hyperparameters that cannot be written into a checkpoint."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error=self)
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


def in_its_checkpoint(made: Any, error: BaseException) -> Any:
    return replace(made, hyper_parameters={"network": Unsaveable(error)})


def spoiled(spoil: Spoil, error: BaseException, seed: int = 1) -> Callable[..., Any]:
    """A recipe function that spoils the trial of this seed."""
    return lambda config: spoil(recipe(config), error) if config["seed"] == seed else recipe(config)


@pytest.mark.parametrize(
    "spoil", [in_its_network, in_its_schedule, in_its_order, in_its_checkpoint]
)
@pytest.mark.parametrize("told", ERRORS)
def test_whatever_a_trial_raises_on_lanes_ends_it_alone_with_its_own_words(
    jobs: Jobs,  # noqa: F811
    spoil: Spoil,
    told: str,
) -> None:
    mine = jobs([{"seed": n} for n in range(3)], "trainer.max_epochs=2")
    ends = serve(mine, Fused(main, spoiled(spoil, ERRORS[told]), lanes=4, keep=None)).ends()
    assert [type(ends[n]) for n in range(3)] == [Finished, Failed, Finished]
    assert ends[1].error == told  # type: ignore[union-attr]
    if spoil is not in_its_checkpoint:  # what cannot be written is told; its controller writes it
        log = (Path(mine[1].folder) / "log.txt").read_text()
        assert "Traceback (most recent call last)" in log
        assert result(mine[1].folder)["error"].partition(":")[0] == told.partition(":")[0]


def test_a_trial_that_raises_in_the_middle_leaves_its_neighbours_their_curves(
    jobs: Jobs,  # noqa: F811
) -> None:
    def late(made: Any, error: BaseException) -> Any:
        def order(samples: int, seed: int, epoch: int) -> torch.Tensor:
            if epoch == 2:
                raise error
            return made.order(samples, seed, epoch)

        return replace(made, order=order)

    words = ("trainer.max_epochs=5", "scheduler=cosine", "model.dropout=0.2")
    values = [{"seed": n} for n in range(4)]
    mine, undisturbed = jobs(values, *words), jobs(values, *words, to="undisturbed")
    serve(mine, Fused(main, spoiled(late, ValueError("at epoch 2")), lanes=4, keep=None))
    serve(undisturbed)
    assert result(mine[1].folder)["error"] == "ValueError: at epoch 2"
    assert len((Path(mine[1].folder) / "metrics.csv").read_text().splitlines()) == 3
    for n in (0, 2, 3):
        rows = [(Path(own[n].folder) / "metrics.csv").read_text() for own in (mine, undisturbed)]
        assert rows[0] == rows[1]


def test_an_epoch_that_fails_in_company_alone_fails_nobody(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lonely(lanes: int, steps: Callable[[], None]) -> None:
        steps()
        if lanes > 1:
            raise ValueError("not in company")

    around_steps(monkeypatch, lonely)
    ends = serve(jobs(rates(3), "trainer.max_epochs=3")).ends()
    assert [type(ends[n]) for n in range(3)] == [Finished] * 3


def test_what_a_measurement_raises_leaves_the_trial_to_a_trainer(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def choose(training: Training, *_: Any) -> calibration.Choice:
        if training.course.batch_size == 8:
            raise SystemExit("in the measurement")
        return calibration.Choice(4, 1.0, 0.1)

    monkeypatch.setattr(kinds, "choose", choose)
    mine = jobs([{"data.batch_size": size} for size in (16, 8, 32)], "trainer.max_epochs=1")
    inbox = serve(mine, lanes=None, auto=True)
    assert [type(end) for end in inbox.ends().values()] == [Finished] * 3
    engines = [result(job.folder)["facts"]["engine"] for job in mine]
    assert engines == ["fused", "solo", "fused"]


@pytest.mark.parametrize("kind", ["multi-hot", "float"])
def test_targets_that_are_no_classes_go_by_a_trainer_as_with_engine_solo(
    jobs: Jobs,  # noqa: F811
    kind: str,
) -> None:
    def soft(config: Any) -> Any:
        made: Any = recipe(config)
        if config["seed"] == 1:
            x, y = made.train
            y = torch.nn.functional.one_hot(y).float() if kind == "multi-hot" else y.float()
            return replace(made, train=(x, y), called=None)
        return made

    mine = jobs([{"seed": n} for n in range(3)], "trainer.max_epochs=1")
    serve(mine, Fused(main, soft, auto=True))
    assert [result(job.folder)["state"] for job in mine] == ["COMPLETE"] * 3
    assert result(mine[1].folder)["facts"]["engine"] == "solo"


def test_halved_lanes_keep_to_their_schedule(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("scheduler=cosine", "trainer.max_epochs=4")
    undisturbed = serve(jobs(rates(4), *words, to="undisturbed")).ends()
    calls: list[int] = []

    def hungry(lanes: int, steps: Callable[[], None]) -> None:
        calls.append(lanes)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("the device is full")
        steps()

    around_steps(monkeypatch, hungry)
    for number, end in serve(jobs(rates(4), *words)).ends().items():
        assert isinstance(end, Finished)
        assert end.facts["metrics"] == pytest.approx(undisturbed[number].facts["metrics"], rel=1e-4)  # type: ignore[union-attr]


def test_a_worker_that_dies_costs_the_trial_that_did_it_its_tries_and_no_other_any(
    jobs: Jobs,  # noqa: F811
    tmp_path: Path,
) -> None:
    options = {"lanes": 4, "keep": 0, "compile": False}
    executor = LocalExecutor(
        1, 0, 1, fork=False,
        engine={"name": "fused", "build": "tests.executors.deadly.recipe", "options": options},
    )  # fmt: skip
    executor.log = tmp_path / "workers.txt"
    executor.start(TaskSource("main", "project.train", None))
    mine = jobs([{"seed": n} for n in range(5)], "trainer.max_epochs=3")
    mine = [replace(job, base=mine[0].base) for job in mine]
    lost: dict[int, list[Failed]] = {}
    waiting, ended = list(mine), {}
    try:
        while len(ended) < len(mine):
            for job in waiting[: max(0, executor.lanes)]:
                executor.submit(job)
                waiting.remove(job)
            for event in executor.events(0.2):
                if isinstance(event, Finished):
                    ended[event.number] = event
                elif isinstance(event, Failed):
                    lost.setdefault(event.number, []).append(event)
                    if event.quarantine:
                        again = replace(mine[event.number], quarantine=event.quarantine)
                        waiting.append(again)
                    else:
                        ended[event.number] = event
    finally:
        executor.close()
    (charged,) = (event for event in ended.values() if isinstance(event, Failed))
    assert charged.number == deadly.SEED
    assert charged.transient
    assert charged.error.startswith("WorkerLost: the worker on cpu:0 (see workers.txt) ended with")
    assert all(event.transient for events in lost.values() for event in events)
    text = executor.log.read_text()
    assert "Segmentation fault" in text
    assert "deadly.py" in text  # where it was
    assert f"ended with signal SIGSEGV; its trials: {deadly.SEED}\n" in text
    assert all(len(events) <= 2 for events in lost.values())
