"""Before lanes go by a recipe they see, in a few steps, that its module comes to the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from caviar.base import security
from caviar.base.messages import Finished, Said
from caviar.engines.experiment import NotFusibleError
from caviar.engines.lanes import calibration, rehearsal, trust
from caviar.engines.lanes.rehearsal import rehearse
from caviar.engines.lanes.trust import why_distrusted
from caviar.engines.solo import Solo
from caviar.lightning.in_memory.module import DataModule
from project.classifier import Classifier
from project.data.synthetic import Synthetic
from project.models.mlp import MLP
from project.train import main
from tests.engines.lanes import training
from tests.engines.test_engine import Jobs, Memory, fused, jobs  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was rehearsed yet, and modules of tests may be named."""
    monkeypatch.setattr(trust, "_verdicts", {})
    monkeypatch.setattr(security, "_allowed", lambda target: True)


class Doubles(DataModule):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return 2 * batch[0], batch[1]


class Augmented(Synthetic):
    def datamodule(self) -> Any:
        return Doubles(self)


class Hooked(MLP):
    """A layer of it does something that its class does not say."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.layers[1].register_forward_hook(lambda layer, given, out: out * 1.5)


class Slowed(MLP):
    """Its first weights learn at a tenth of the rate."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.layers[1].weight.register_hook(lambda gradient: gradient / 10)


class Steadied(MLP):
    """Gives other logits while it is judged."""

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x) * (1.0 if self.training else 0.1)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("optimizer=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true", "model.dropout=0.4"),
        ("optimizer=adamw", "optimizer.weight_decay=0.1", "trainer.gradient_clip_val=0.1"),
        ("optimizer=rmsprop", "model.batch_norm=none", "scheduler=onecycle"),
        ("model.loss.label_smoothing=0.1", "model.loss.class_weights=[1, 2, 1]", "scheduler=step"),
        ("data.drop_last=false", "trainer.limit_train_batches=2", "scheduler=plateau"),
        ("model.depth=0", "trainer.check_val_every_n_epoch=2", "data.batch_size=100"),
        ("data.features=2", "trainer.precision=bf16-mixed"),
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_that_says_what_its_module_does_is_trusted(overrides: tuple[str, ...]) -> None:
    rehearse(training(*overrides), native=True)


def scaled_loss(self: Classifier, outputs: Tensor, targets: Tensor) -> Tensor:
    return 1.01 * nn.functional.cross_entropy(outputs, targets, reduction="none")


def backwards(optimizer: torch.optim.Optimizer, closure: Any = None) -> None:
    with torch.no_grad():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter += parameter.grad


HERE = "tests.engines.test_rehearsal"
CASES: dict[str, tuple[tuple[str, ...], tuple[Any, str, Any] | None, str]] = {
    "a loss of its own": ((), (Classifier, "loss_per_sample", scaled_loss), "a train/loss of"),
    "an optimizer's step of its own": ((), (torch.optim.Adam, "step", backwards), "loss of"),
    "other batches": ((f"data._target_={HERE}.Augmented",), None, "the loaders give other batches"),
    "a hook of a layer": ((f"model._target_={HERE}.Hooked",), None, "a hook of network.layers.1"),
    "a hook of a gradient": (
        (f"model._target_={HERE}.Slowed",), None, "a hook of the parameter network.layers.1.weight",
    ),
    "another way to be judged": ((f"model._target_={HERE}.Steadied",), None, "a val/loss of"),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "patch", "said"), CASES.values(), ids=CASES)
def test_a_module_that_does_something_else_is_not_stood_for(
    overrides: tuple[str, ...],
    patch: tuple[Any, str, Any] | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if patch:
        monkeypatch.setattr(*patch)
    why = why_distrusted(training(*overrides), native=True)
    assert why is not None
    assert said in why


def test_a_loss_of_its_own_is_trained_on_lanes_that_call_it(
    jobs: Jobs,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "_CALLED_LANES", {"cpu": (4,)})
    monkeypatch.setattr(Classifier, "loss_per_sample", scaled_loss)
    rates = [{"optimizer.lr": 0.003 * (n + 1), "seed": n} for n in range(3)]
    over = ("trainer.precision=64-true",)
    mine, its = Memory(jobs(rates, *over)), Memory(jobs(rates, *over, to="alone"))
    fused().serve(mine, mine.send)
    Solo(main).serve(its, its.send)
    (said,) = mine.of(Said)
    assert said.text.startswith("lanes call training_step, not the loop that stands for it")
    found, wanted = (sorted(one.of(Finished), key=lambda e: e.number) for one in (mine, its))
    assert len(found) == 3
    for one, other in zip(found, wanted, strict=True):
        assert one.values == pytest.approx(other.values, rel=1e-6)


def test_a_rehearsal_is_kept_while_all_code_is_the_same(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    rehearsed: list[Any] = []
    monkeypatch.setattr(rehearsal, "rehearse", lambda *what: rehearsed.append(what))
    code: Callable[[str], str] = trust._digest

    def again() -> int:
        trust._verdicts.clear()
        rehearsed.clear()
        assert why_distrusted(training(), native=True) is None
        assert why_distrusted(training(seed=3, optimizer__lr=0.1), native=True) is None
        return len(rehearsed)

    assert again() == 1
    assert again() == 0
    monkeypatch.setattr(trust, "_digest", lambda path: code(path) + "changed")
    assert again() == 1
    assert again() == 0
    (file,) = (cache / "rehearsals").iterdir()
    file.write_text("[]")
    assert again() == 1
    file.chmod(0o666)  # anybody may have written it
    assert again() == 1


def test_what_went_wrong_is_no_verdict_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(training: Any, native: bool) -> None:
        if training.recipe.label_smoothing:
            raise NotFusibleError("it differs")

    monkeypatch.setattr(rehearsal, "rehearse", fails)
    smoothed = "model.loss.label_smoothing=0.1"
    assert why_distrusted(training(), native=True) is None
    assert why_distrusted(training(smoothed), native=True) == "it differs"
    assert why_distrusted(training(smoothed, seed=1), native=True) == "it differs"
