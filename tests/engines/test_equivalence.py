"""A trial on a lane among strangers is the trial that solo runs."""

import random

import pytest
import torch

from caviar.base.machine import compiler
from caviar.engines.lanes.stack import Stack
from caviar.engines.native.loop import Native
from caviar.engines.stacked.backend import ByTorch
from caviar.engines.stacked.compiling import why_not_compiled
from project.choices import ACTIVATIONS, BATCH_NORM
from tests.engines.lanes import assert_same, by_solo, on_a_lane, strangers, training

DOUBLE = "trainer.precision=64-true"

CASES = {
    **{f"optimizer={name}": (f"optimizer={name}", "optimizer.weight_decay=0.03")
       for name in ("sgd", "adam", "adamw", "rmsprop")},
    "nesterov": ("optimizer=sgd", "optimizer.nesterov=true"),
    "decay_all": ("optimizer.decay_all=true", "optimizer.weight_decay=0.1"),
    **{f"scheduler={name}": (f"scheduler={name}", "scheduler.warmup_epochs=0.7")
       for name in ("none", "cosine", "exponential", "onecycle", "step")},
    "scheduler=plateau": ("scheduler=plateau", "scheduler.patience=0", "scheduler.warmup_epochs=0.7"),
    **{f"activation={name}": (f"model.activation={name}",) for name in ACTIVATIONS},
    **{f"batch_norm={name}": (f"model.batch_norm={name}",) for name in BATCH_NORM},
    "softmax regression": ("model.depth=0",),
    "dropout": ("model.dropout=0.3", "optimizer.weight_decay=0.03"),
    "much dropout after batch norm": ("model.dropout=0.7", "model.batch_norm=after", "model.depth=3"),
    "dropout, a last batch that is not full": ("model.dropout=0.4", "data.drop_last=false"),
    "clipped by norm": ("trainer.gradient_clip_val=0.1",),
    "clipped by value": ("trainer.gradient_clip_val=0.01", "+trainer.gradient_clip_algorithm=value"),
    "not clipped": ("trainer.gradient_clip_val=-1",),
    "label smoothing": ("model.loss.label_smoothing=0.2",),
    "class weights": ("model.loss.class_weights=[1.0,2.0,0.5]",),
    "balanced": ("model.loss.class_weights=balanced", "model.loss.label_smoothing=0.1"),
    "a last batch that is not full": ("data.drop_last=false",),
    "few batches": ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1"),
    "validated every other epoch": ("trainer.check_val_every_n_epoch=2",),
    "stopped early": ("callbacks=early_stopping", "callbacks.early_stopping.patience=1"),
    "scored at the last epoch": ("score=last",),
    "scored over the last three": ("score=last3", "trainer.check_val_every_n_epoch=2"),
    "minimised": ("metric=val/loss", "direction=minimize"),
}  # fmt: skip


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_a_lane_among_strangers_is_the_trial_that_solo_runs(
    overrides: tuple[str, ...], native: bool
) -> None:
    others = strangers(9, DOUBLE, *overrides)
    found = on_a_lane(training(DOUBLE, *overrides), others, native=native)
    assert_same(found, by_solo(DOUBLE, *overrides), 1e-12)


SINGLE = {name: overrides for name, overrides in CASES.items() if "=" in name}


@pytest.mark.parametrize("overrides", SINGLE.values(), ids=SINGLE)
def test_in_single_precision_it_is_too_up_to_rounding(overrides: tuple[str, ...]) -> None:
    native = compiler() is not None
    found = on_a_lane(training(*overrides), strangers(7, *overrides), native=native)
    assert_same(found, by_solo(*overrides), 1e-4)


@pytest.mark.parametrize("number", range(20))
def test_twenty_random_architectures_are_the_same_on_a_lane(number: int, native: bool) -> None:
    draw = random.Random(number)
    hidden = [draw.randint(3, 40) for _ in range(draw.randint(0, 3))]
    overrides = (
        f"model.hidden={hidden}",
        f"model.activation={draw.choice(list(ACTIVATIONS))}",
        f"model.batch_norm={draw.choice(BATCH_NORM)}",
        f"data.batch_size={draw.choice([8, 16, 33])}",
        f"optimizer={draw.choice(['sgd', 'adam', 'adamw', 'rmsprop'])}",
    )
    precision, within = (DOUBLE, 1e-12) if number % 2 else ("trainer.precision=32-true", 1e-4)
    others = strangers(7, precision, *overrides)
    found = on_a_lane(training(precision, *overrides), others, native=native)
    assert_same(found, by_solo(precision, *overrides), within)


DROPPING = ("model.dropout=0.3",)


@pytest.mark.parametrize("overrides", [(), DROPPING], ids=["plain", "dropout"])
def test_a_trial_is_the_same_on_any_lane_admitted_at_any_tick(
    overrides: tuple[str, ...], native: bool
) -> None:
    first, later = (
        on_a_lane(training(*overrides), strangers(count, *overrides), lane, lanes, tick, native)
        for count, lane, lanes, tick in ((9, 0, 8, 0), (90, 5, 64, 7))
    )
    for name, tensor in first.weights.items():
        assert torch.equal(later.weights[name], tensor), name
    assert first.rows == later.rows


def test_a_lane_that_is_no_number_any_more_fails_alone(native: bool) -> None:
    def trained(poisoned: bool):  # type: ignore[no-untyped-def]
        others = [training(seed=1), training(seed=2)]
        rate = 1e30 if poisoned else 0.01
        stack = Stack(others, 3)
        assert not native or stack.use(Native) is None
        for one in (
            others[0],
            training(optimizer__lr=rate, optimizer__weight_decay=1.0),
            others[1],
        ):
            stack.admit(one)
        ended = [stack.tick() for _ in range(3)]
        return ended, stack.last_weights(0), stack.last_weights(2)

    ended, *weights = trained(poisoned=True)
    _, *clean = trained(poisoned=False)
    for mine, its in zip(weights, clean, strict=True):
        assert all(torch.equal(mine[name], its[name]) for name in its)
    errors = [type(one.error) for one in ended[-1]]
    assert errors == [type(None), FloatingPointError, type(None)]
    assert "is nan at epoch" in str(ended[-1][1].error)


def test_the_next_trial_on_its_lane_finds_nothing_of_it(native: bool) -> None:
    clipped = ("trainer.gradient_clip_val=0.1",)
    stack = Stack([training(*clipped)], 1)
    assert not native or stack.use(Native) is None
    stack.admit(training(*clipped, optimizer__lr=1e30, optimizer__weight_decay=1.0))
    assert [type(one.error) for one in stack.tick()] == [FloatingPointError]
    stack.release(0)
    stack.admit(training(*clipped))
    assert [one.error for one in stack.tick()] == [None]


@pytest.mark.skipif(why_not_compiled("cpu") is not None, reason=str(why_not_compiled("cpu")))
@pytest.mark.filterwarnings("ignore")  # torch's own, from its compiler
def test_compiled_lanes_are_the_same_up_to_rounding() -> None:
    weights = []
    for compiled in (False, True):
        trainings = [training("model.depth=1", "model.dropout=0.2", seed=n) for n in range(3)]
        stack = Stack(trainings, 3)
        for one in trainings:
            stack.admit(one)
        assert isinstance(stack.backend, ByTorch)
        stack.backend.compiled = compiled
        stack.tick()
        assert stack.backend.compiled is compiled
        weights.append(stack.last_weights(1))
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-5)


def test_mixed_precision_keeps_weights_and_statistics_in_float32() -> None:
    overrides = ("trainer.precision=bf16-mixed",)
    found = on_a_lane(training(*overrides), strangers(7, *overrides))
    wanted = by_solo(*overrides)
    assert all(t.dtype == torch.float32 for t in found.weights.values() if t.is_floating_point())
    last, its = (float(one.rows[-1]["val/loss"]) for one in (found, wanted))
    assert last == pytest.approx(its, rel=0.05)
    assert found.rows != on_a_lane(training(), []).rows
