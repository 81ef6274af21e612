"""Claims about each schedule's curve, as defined and as Lightning steps it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from caviar import UsageError
from caviar.lightning.schedulers import (
    Cosine,
    Exponential,
    Length,
    OneCycle,
    Plateau,
    Schedule,
    Step,
)
from project.train import build

pytestmark = pytest.mark.fast

TEN_EPOCHS = Length(steps=100, epoch_steps=10)


def curve(schedule: Schedule, length: Length = TEN_EPOCHS) -> list[float]:
    return [schedule.factor(step, length) for step in range(int(length.steps))]


def test_none_is_constant() -> None:
    assert curve(Schedule()) == [1.0] * 100


def test_step_drops_every_so_many_epochs() -> None:
    assert curve(Step(step_epochs=4, gamma=0.5)) == [1.0] * 40 + [0.5] * 40 + [0.25] * 20


def test_exponential_drops_every_epoch() -> None:
    assert curve(Exponential(gamma=0.9))[::10] == pytest.approx([0.9**e for e in range(10)])


def test_cosine_goes_from_1_to_its_end() -> None:
    factors = curve(Cosine(final=0.2))
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.6)
    assert factors[-1] == pytest.approx(0.2, abs=1e-3)
    assert factors == sorted(factors, reverse=True)


def test_one_cycle_climbs_to_1_and_falls_to_its_end() -> None:
    factors = curve(OneCycle(rise=0.3, initial=0.04, final=1e-4))
    assert factors[0] == pytest.approx(0.04)
    assert factors[30] == max(factors) == 1.0
    assert factors[-1] < 0.001
    assert factors[:31] == sorted(factors[:31])
    assert factors[30:] == sorted(factors[30:], reverse=True)


@pytest.mark.parametrize("kind", [Schedule, Step, Exponential, Cosine])
def test_warm_up_climbs_linearly_and_then_the_curve_begins(kind: type[Schedule]) -> None:
    factors = curve(kind(warmup_epochs=0.5))
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == pytest.approx(curve(kind(), Length(95, 10)))


@pytest.mark.parametrize("kind", [Cosine, OneCycle])
def test_a_curve_towards_an_end_needs_to_know_it(kind: type[Schedule]) -> None:
    with pytest.raises(UsageError, match=r"trainer\.max_epochs"):
        kind().factor(0, Length(math.inf, 10))


class Rates(Callback):
    """The learning rate at every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def rates(config: Any) -> list[float]:
    experiment = build(config)
    seen = Rates()
    settings = {**experiment.trainer, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(**settings, callbacks=[seen], enable_progress_bar=False)
    trainer.fit(experiment.module, datamodule=experiment.data)
    return seen.seen


QUICK = ("data=synthetic", "data.samples=120", "data.batch_size=16", "model.width=4")
# 84 training samples: 5 steps an epoch.


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("name", ["none", "step", "exponential", "cosine", "onecycle"])
def test_lightning_steps_the_curve(name: str, compose_run: Callable[..., Any]) -> None:
    config = compose_run(
        *QUICK, f"scheduler={name}", "scheduler.warmup_epochs=0.6", "trainer.max_epochs=4"
    )
    schedule = build(config).module.schedule  # type: ignore[union-attr]
    expected = [3e-3 * schedule.factor(step, Length(20, 5)) for step in range(20)]  # type: ignore[operator]
    assert rates(config) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_accumulated_batches_are_one_step_of_the_schedule(compose_run: Callable[..., Any]) -> None:
    config = compose_run(
        *QUICK, "scheduler=cosine", "trainer.max_epochs=2", "trainer.accumulate_grad_batches=5"
    )
    assert rates(config) == pytest.approx([3e-3] * 5 + [1.5e-3] * 5)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_plateau_waits_for_its_patience_and_warms_up_first(
    compose_run: Callable[..., Any],
) -> None:
    # A learning rate of almost nothing: the metric stands still from the first epoch on.
    config = compose_run(
        *QUICK,
        "optimizer.lr=1e-12",
        "scheduler=plateau",
        "scheduler.warmup_epochs=1",
        "scheduler.patience=1",
        "scheduler.reduce=0.5",
        "trainer.max_epochs=5",
    )
    warm = [1e-12 * share for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert rates(config) == pytest.approx(warm + [1e-12] * 10 + [0.5e-12] * 10, rel=1e-6, abs=0)


def test_the_plateau_alone_has_no_curve_of_its_own() -> None:
    assert curve(Plateau(warmup_epochs=0.2)) == [0.5] + [1.0] * 99
