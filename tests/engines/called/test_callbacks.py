"""Callbacks on lanes: a lane among strangers comes to what a Trainer with the same callbacks comes to."""

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch.optim.swa_utils import get_ema_avg_fn

import caviar
from caviar.engines import experiment as caviar_engine
from caviar.engines.called.stack import CalledStack
from caviar.engines.called.training import CalledTraining
from caviar.engines.experiment import NotFusibleError
from tests.engines.called import modules as m
from tests.engines.called.compare import (
    assert_same_on_a_lane,
    by_trainer,
    called,
    experiment,
    on_a_lane,
)
from tests.engines.called.test_modules import rates

Made = Callable[[int], dict[str, Any]]


class FromFourthStep(WeightAveraging):
    """As Lightning's documentation has it: an average that begins later."""

    def __init__(self) -> None:
        super().__init__(avg_fn=get_ema_avg_fn(0.8))

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx >= 3


class EveryOther(WeightAveraging):
    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % 2 == 0


AVERAGES: dict[str, tuple[Made, dict[str, Any]]] = {
    "ema": (lambda n: {"ema": EMAWeightAveraging(decay=0.8 + n / 50)}, {}),
    "ema, of parameters alone": (
        lambda n: {"ema": EMAWeightAveraging(decay=0.9, use_buffers=False)}, {},
    ),
    "ema, every other step, accumulated": (
        lambda n: {"ema": EMAWeightAveraging(decay=0.9, update_every_n_steps=2)},
        {"accumulate_grad_batches": 2},
    ),
    "ema, every epoch from the second on": (
        lambda n: {
            "ema": EMAWeightAveraging(
                decay=0.7, update_every_n_steps=0, update_starting_at_epoch=1 + n % 2
            )
        },
        {},
    ),
    "ema, validated every other epoch": (
        lambda n: {"ema": EMAWeightAveraging(decay=0.9)}, {"check_val_every_n_epoch": 2},
    ),
    "an average that begins later": (lambda n: {"late": FromFourthStep()}, {}),
    "ema, in single precision": (
        lambda n: {"ema": EMAWeightAveraging(decay=0.9)}, {"precision": "32-true"},
    ),
    "equal weights": (lambda n: {"mean": WeightAveraging()}, {"precision": "32-true"}),
}  # fmt: skip


@pytest.mark.parametrize(("made", "settings"), AVERAGES.values(), ids=AVERAGES)
def test_an_average_of_the_weights_is_a_trainers(
    made: Made, settings: dict[str, Any], tmp_path: Path
) -> None:
    within = 2e-5 if "precision" in settings else 1e-10
    assert_same_on_a_lane(m.Plain, m.vectors, tmp_path, rates, made, within, **settings)


@pytest.mark.parametrize("make", [m.Frozen, m.Tied])
def test_an_average_has_what_does_not_train_and_what_is_shared(make: Any, tmp_path: Path) -> None:
    def made(n: int) -> dict[str, Any]:
        return {"ema": EMAWeightAveraging(decay=0.8)}

    assert_same_on_a_lane(make, m.vectors, tmp_path, rates, made)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [(EMAWeightAveraging, "64-true"), (EveryOther, "32-true")],
    ids=["ema", "equal weights"],
)
def test_an_average_is_its_own_among_others_that_began_before(
    kind: type[WeightAveraging], precision: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"precision": precision, "limit_train_batches": 3, "max_epochs": 4}

    def average(n: int) -> WeightAveraging:
        return (
            kind(decay=0.7 + n / 20, update_every_n_steps=2)
            if kind is EMAWeightAveraging
            else kind()
        )

    def new(n: int) -> CalledTraining:
        one = experiment(
            m.Plain, m.vectors, n, **{**given, **rates(n), "max_epochs": 4 + 2 * (n > 0)}
        )
        return called(one, callbacks=lambda: {"mean": average(n)})

    its = by_trainer(
        experiment(m.Plain, m.vectors, 0, **given, **rates(0)), tmp_path, own=[average(0)]
    )
    one, others = new(0), [new(1), new(2)]
    stack = CalledStack([one, *others], 3)
    for other in others:
        stack.admit(other)
    stack.tick()
    stack.admit(one)
    while not next(ended for ended in stack.tick() if ended.training is one).over:
        pass
    within = 2e-5 if precision == "32-true" else 1e-10
    for name, tensor in its.state.items():
        torch.testing.assert_close(one.module.state_dict()[name], tensor, rtol=within, atol=within)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ({}, {}),
        ({"logging_interval": "epoch", "log_momentum": True}, {}),
        ({"logging_interval": "step"}, {"log_every_n_steps": 2}),
        ({"log_weight_decay": True}, {"log_every_n_steps": 1, "accumulate_grad_batches": 2}),
    ],
    ids=str,
)
def test_the_monitor_of_learning_rates_logs_what_it_logs_beside_a_trainer(
    kind: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    def made(n: int) -> dict[str, Any]:
        return {"rates": LearningRateMonitor(**kind)}

    mine, _ = assert_same_on_a_lane(m.OwnSchedule, m.vectors, tmp_path, rates, made, **settings)
    if settings or kind.get("logging_interval") == "epoch":
        assert any(name.startswith("lr-RMSprop") for name in mine.rows[-1])


class Shrinks(Callback):
    """Takes part in a training, from one end to the other."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.seen: list[tuple[str, int, int]] = []
        self.recent: deque[float] = deque(maxlen=2)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.stage = stage
        next(pl_module.parameters()).data.mul_(0.5)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._see("fit", trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._see("start", trainer)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] *= 0.9
        pl_module.alpha = 0.01 * len(self.seen)  # type: ignore[assignment]
        self.log("mine/alpha", pl_module.alpha)  # type: ignore[attr-defined]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert not pl_module.training
        next(pl_module.parameters()).mul_(0.99)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("mine/doubled", 2 * trainer.callback_metrics["val/loss"])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.recent.append(float(trainer.callback_metrics["mine/doubled"]))
        if len(self.recent) == 2 and trainer.current_epoch == 3:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("mine/loss", trainer.callback_metrics["train/loss"] + sum(self.recent))
        with torch.no_grad():
            for parameter in pl_module.parameters():
                parameter.clamp_(-self.most, self.most)
        last = list(pl_module.parameters())[-1]
        last.data = last.data + 0.01  # another tensor in its place
        pl_module.net[1].running_mean = 0.9 * pl_module.net[1].running_mean  # type: ignore[index]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._see("end", trainer)
        with torch.no_grad():
            next(pl_module.parameters()).mul_(1.01)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._see("down", trainer)

    def _see(self, what: str, trainer: Trainer) -> None:
        self.seen.append((what, trainer.current_epoch, trainer.global_step))


def shrinking(n: int) -> dict[str, Any]:
    return {"mine": Shrinks(0.3 + n / 20)}


@pytest.mark.parametrize(
    "settings", [{"max_epochs": 6}, {"max_epochs": 5, "check_val_every_n_epoch": 2}], ids=str
)
def test_a_callback_of_ones_own_is_called_as_by_a_trainer(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    made: list[Shrinks] = []

    def noted(n: int) -> dict[str, Any]:
        own = shrinking(n)
        if n == 5:
            made.append(own["mine"])
        return own

    mine, _ = assert_same_on_a_lane(m.Plain, m.vectors, tmp_path, rates, noted, **settings)
    assert made[0].seen == made[-1].seen
    assert made[0].seen[-1][0] == "down"
    assert list(made[0].recent) == pytest.approx(list(made[-1].recent), rel=1e-6)
    assert "mine/alpha" in mine.rows[-1]


def test_callbacks_come_in_their_order(tmp_path: Path) -> None:
    def made(n: int) -> dict[str, Any]:
        stopping = EarlyStopping("mine/doubled", patience=1, min_delta=0.05)
        return {"stop": stopping, "ema": EMAWeightAveraging(decay=0.7), **shrinking(n)}

    mine, _ = assert_same_on_a_lane(m.Plain, m.vectors, tmp_path, rates, made, max_epochs=6)
    assert len(mine.rows) < 6


def test_who_stops_by_a_metric_sees_what_the_module_logs_at_an_epochs_end(tmp_path: Path) -> None:
    def made(n: int) -> dict[str, Any]:
        return {"stop": EarlyStopping("train/epochs", patience=1)}

    mine, _ = assert_same_on_a_lane(m.Decides, m.vectors, tmp_path, rates, made, max_epochs=6)
    assert len(mine.rows) == 2


class Own(Callback):
    """A callback that does one thing."""

    def __init__(self, does: Callable[[Any, Any], Any]) -> None:
        self.does = does

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.does(trainer, pl_module)


class Batches(Callback):
    def on_train_batch_end(self, *_: Any) -> None:
        pass


class Stops(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = True


class Counts(Callback):
    """Keeps a thing that nobody could put back."""

    def __init__(self) -> None:
        self.meter = torch.nn.Linear(1, 1)


class Meter:
    def __init__(self) -> None:
        self.total = 0


class Totals(Own):
    def __init__(self) -> None:
        super().__init__(lambda trainer, module: None)
        self.meter = Meter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.meter.total += 1


class AddsGroup(Own):
    def __init__(self) -> None:
        super().__init__(
            lambda trainer, module: trainer.optimizers[0].add_param_group(
                {"params": [torch.nn.Parameter(torch.zeros(1))]}
            )
        )


def unfreeze(trainer: Any, module: Any) -> None:
    module.net[0].requires_grad_(False)


def replace(trainer: Any, module: Any) -> None:
    module.net[3] = torch.nn.Linear(12, 3)


def hook(trainer: Any, module: Any) -> None:
    module.net[0].register_forward_hook(lambda *_: None)


END = "callbacks.mine: on_train_epoch_end: "

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a hook of each batch": (Batches, "callbacks.mine: on_train_batch_end"),
    "what keeps checkpoints": (ModelCheckpoint, "callbacks.mine: "),
    "SWA": (
        lambda: StochasticWeightAveraging(0.1),
        "callbacks.mine: on_train_epoch_start puts its own schedule in the place of the module's",
    ),
    "finetuning": (BackboneFinetuning, "callbacks.mine: on_train_epoch_start changes which"),
    "no callback": (lambda: Meter(), "callbacks.mine: a Meter, no Callback"),
    "an average of its own kind": (
        lambda: WeightAveraging(avg_fn=lambda mine, its, n: its), "callbacks.mine: avg_fn: lanes know",
    ),
    "a module of its own": (Counts, "callbacks.mine: setup: self.meter holds a Linear"),
    "what changes and has no state": (
        Totals, "callbacks.mine: self.meter is a Meter, which lanes cannot put back: state_dict",
    ),
    "its trainer": (
        lambda: Own(lambda trainer, module: trainer.profiler),
        "trainer.profiler, which its code asks for, is not there on a lane",
    ),
    "a part of it": (
        lambda: Own(lambda trainer, module: module.optimizers()), "trainer.strategy._lightning_optimizers",
    ),
    "its loggers": (lambda: Own(lambda trainer, module: module.logger), "trainer.logger"),
    "what it says of others": (
        lambda: Own(lambda trainer, module: trainer.callbacks), "trainer.callbacks",
    ),
    "an optimizer's state": (
        lambda: Own(lambda trainer, module: len(trainer.optimizers[0].state)),
        "it looks at an optimizer's state",
    ),
    "another setting": (
        lambda: Own(lambda trainer, module: setattr(trainer, "accumulate_grad_batches", 2)),
        "its code sets trainer.accumulate_grad_batches",
    ),
    "more epochs": (
        lambda: Own(lambda trainer, module: setattr(trainer.fit_loop, "max_epochs", 9)),
        "its code sets trainer.fit_loop.max_epochs",
    ),
    "the run": (
        lambda: Own(lambda trainer, module: caviar.report(1.0, 0)),
        "it speaks to the run under way, of which it asks listener",
    ),
    "its folder": (lambda: Own(lambda trainer, module: caviar.run_dir()), "of which it asks dir"),
    "logged by the step": (
        lambda: Own(lambda trainer, module: module.log("a", 1.0, on_step=True)),
        "self.log('a', on_step=True) in on_train_epoch_end",
    ),
    "frozen": (lambda: Own(unfreeze), END + "it changes whether net.0.weight trains"),
    "a layer replaced": (lambda: Own(replace), END + "it changes what net is made of"),
    "a layer's hook": (lambda: Own(hook), END + "it hangs a hook on net.0"),
    "more parameters": (AddsGroup, END + "it changes which parameters the optimizer has"),
    "an end before it begins": (Stops, "callbacks.mine: on_train_epoch_start: trainer.should_stop=True"),
}  # fmt: skip


def a_tick_of(*trainings: CalledTraining) -> list[Any]:
    stack = CalledStack(trainings, len(trainings))
    for training in trainings:
        stack.admit(training)
    return stack.tick()


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_lanes_says_why(make: Callable[[], Any], said: str) -> None:
    try:
        one = called(experiment(m.Plain, m.vectors, 0), callbacks=lambda: {"mine": make()})
        (ended,) = a_tick_of(one)
        error = ended.error
    except NotFusibleError as refused:
        error = refused
    assert isinstance(error, NotFusibleError)
    assert said in str(error)


def test_a_callback_that_validations_concern_is_no_lanes_beside_a_sanity_check() -> None:
    one = experiment(m.Plain, m.vectors, 0, num_sanity_val_steps=2)
    with pytest.raises(NotFusibleError, match="num_sanity_val_steps=0"):
        called(one, callbacks=lambda: shrinking(0))


def test_a_callback_that_fails_ends_its_own_trial_and_no_other() -> None:
    def fail(trainer: Any, module: Any) -> None:
        raise OSError("mine")

    made: list[Callable[[], dict[str, Any]]] = [dict, lambda: {"mine": Own(fail)}, dict]
    ended = a_tick_of(
        *(called(experiment(m.Plain, m.vectors, n), callbacks=own) for n, own in enumerate(made))
    )
    assert [str(one.error) for one in ended] == ["None", "mine", "None"]


def cut(one: CalledTraining, others: list[CalledTraining], epochs: int) -> dict[str, Any]:
    """What a lane leaves after some epochs among others."""
    stack = CalledStack([one, *others], 1 + len(others))
    for training in (one, *others):
        stack.admit(training)
    for _ in range(epochs):
        for ended in stack.tick():
            assert ended.error is None
    return stack.save(0)


@pytest.mark.parametrize(
    "own",
    [
        shrinking,
        lambda n: {"ema": EMAWeightAveraging(decay=0.7), "lr": LearningRateMonitor("epoch")},
    ],
    ids=["mine", "ema"],
)
def test_what_was_written_down_goes_on_elsewhere_with_its_callbacks(
    own: Made, tmp_path: Path
) -> None:
    def new(n: int) -> CalledTraining:
        given = experiment(m.Plain, m.vectors, n, max_epochs=4, **rates(n))
        return called(given, callbacks=lambda: own(n))

    its = by_trainer(
        experiment(m.Plain, m.vectors, 1, max_epochs=4, **rates(1)), tmp_path, own=own(1).values()
    )
    torch.save(cut(new(1), [new(2)], 2), tmp_path / "lane")
    saved = torch.load(tmp_path / "lane", weights_only=True)
    again, other = new(1), new(3)
    stack = CalledStack([again, other], 2)
    stack.admit(again)
    stack.admit(other)
    stack.load(0, saved)
    while not next(ended for ended in stack.tick() if ended.training is again).over:
        pass
    for name, tensor in its.state.items():
        torch.testing.assert_close(again.module.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)
    assert again.scoring.epoch == its.best_epoch
    assert again.rows[-1].keys() >= its.rows[-1].keys() - {"step"}


@pytest.mark.parametrize(
    "own", [shrinking, lambda n: {"ema": EMAWeightAveraging(decay=0.7)}], ids=["mine", "ema"]
)
def test_a_tick_that_was_cut_short_leaves_no_trace(
    own: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def new(n: int) -> CalledTraining:
        given = experiment(m.Plain, m.vectors, n, max_epochs=3, **rates(n))
        return called(given, callbacks=lambda: own(n))

    smooth = on_a_lane(new(0), [new(1), new(2)], 0)
    one = new(0)
    stack = CalledStack([one], 3)
    for training in (one, new(1), new(2)):
        stack.admit(training)
    stack.tick()
    validate = CalledStack._validate

    def interrupted(*args: Any) -> None:
        validate(*args)
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(CalledStack, "_validate", interrupted)
        with pytest.raises(MemoryError):
            stack.tick()
    stack.rewind()
    while not next(ended for ended in stack.tick() if ended.training is one).over:
        pass
    for name, tensor in smooth.state.items():
        torch.testing.assert_close(one.module.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)
    for mine, its in zip(one.rows, smooth.rows, strict=True):
        assert all(math.isclose(mine[k], float(v), rel_tol=1e-6) for k, v in its.items())


def test_early_stopping_has_its_place_among_callbacks(tmp_path: Path) -> None:
    class Notes(Callback):
        def __init__(self) -> None:
            self.stops: list[bool] = []

        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.stops.append(trainer.should_stop)

    stopping = caviar_engine.EarlyStopping("val/loss", "minimize", 1, 10.0)
    before, after = Notes(), Notes()
    one = called(
        experiment(m.Plain, m.vectors, 0, max_epochs=8, check_val_every_n_epoch=2),
        early_stopping=stopping,
        callbacks=lambda: {"before": before, "stopping": stopping, "after": after},
    )
    on_a_lane(one, [], 0)
    assert (before.stops, after.stops) == ([False, False], [False, True])
