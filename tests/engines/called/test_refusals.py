"""Modules that are no lanes: each by a Trainer, and one line says why, and what would make it one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy

from caviar.engines.called.rehearsal import Rehearsal
from caviar.engines.called.stack import CalledStack
from caviar.engines.experiment import NotFusibleError
from tests.engines.called import modules as m
from tests.engines.called.compare import Tensors, called, experiment


def here(line: str) -> str:
    """Where a line of this file stands."""
    number = Path(__file__).read_text().splitlines().index(line) + 1
    return f"test_refusals.py:{number}: "


class Decides(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        if loss > 1:
            loss = 0.5 * loss
        return loss


class Item(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        return loss / loss.item()


class Numpy(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return self.loss((torch.from_numpy(x.numpy()), y))


class Manual(m.Plain):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class OwnStep(m.Plain):
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)


class EachBatch(m.Plain):
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        pass


class AsksTrainer(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch) * (1 + self.trainer.profiler.total)  # type: ignore[attr-defined]


class UsesMetric(m.Plain):
    def __init__(self) -> None:
        super().__init__()
        self.acc = MulticlassAccuracy(3, validate_args=False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return self.loss(batch) * (1 - self.acc(self.net(x), y))


class Generator(m.Plain):
    def __init__(self) -> None:
        super().__init__()
        self.draw = torch.Generator()


class Hidden(m.Plain):
    def __init__(self) -> None:
        super().__init__()
        self.parts_of_it = [nn.Linear(6, 3)]


class Hooked(m.Plain):
    def __init__(self) -> None:
        super().__init__()
        self.net[0].register_forward_hook(_doubled)


def _doubled(module: nn.Module, given: Any, out: Tensor) -> Tensor:
    return out * 2


class NoLoss(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None


class Two(m.Plain):
    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.SGD(self.parameters(), 0.1)]


class Sparse(m.Words):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8, padding_idx=0, sparse=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Counts(m.Plain):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return self.loss((x[y > 0], y[y > 0]))


class Strange(m.Plain):
    """Says something else each time, of which nothing on it knows."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch) * random.random()


class Streamed(Tensors):
    def train_dataloader(self) -> Any:
        return DataLoader(list(zip(*self.parts[0].tensors, strict=True)), 8, collate_fn=_padded)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), super().val_dataloader()]


def _padded(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])


def streamed() -> Streamed:
    made = m.vectors()
    return Streamed(*made.parts)


CASES: dict[str, tuple[Callable[..., Any], str]] = {
    "an if": (
        Decides,
        here("        if loss > 1:") + "it decides by a tensor's value: torch.where",
    ),
    "item": (Item, here("        return loss / loss.item()") + "it takes a number out of a tensor"),
    "numpy": (
        Numpy,
        here("        return self.loss((torch.from_numpy(x.numpy()), y))")
        + "it leaves torch for numpy",
    ),
    "manual": (Manual, "automatic_optimization=False"),
    "a step of its optimizer": (OwnStep, "OwnStep.optimizer_step is its own"),
    "a hook of each batch": (EachBatch, "EachBatch.on_train_batch_end is its own"),
    "its trainer": (AsksTrainer, "trainer.profiler, which its code asks for"),
    "a metric's value": (UsesMetric, "it computes with what a metric returned"),
    "a generator": (Generator, "self.draw is a random generator"),
    "a hidden module": (Hidden, "self.parts_of_it holds a Linear that is no part of the module"),
    "a hook": (Hooked, "a hook of net.0"),
    "no loss": (NoLoss, "training_step returns NoneType, no loss"),
    "two optimizers": (Two, "several optimizers"),
    "a shape by values": (Counts, "what it makes has a shape that hangs on values"),
    "something unknown": (Strange, "something that it does is unknown"),
}


def why(make: Callable[..., Any], data: Callable[[], LightningDataModule], **settings: Any) -> str:
    try:
        _tried(make, data, **settings)
    except NotFusibleError as error:
        return str(error)
    raise AssertionError("it is a lane")


def _tried(
    make: Callable[..., Any], data: Callable[[], LightningDataModule], **settings: Any
) -> None:
    Rehearsal(called(experiment(make, data, **settings))).check()
    one = called(experiment(make, data, **settings))
    stack = CalledStack([one], 1)
    stack.admit(one)
    for ended in stack.tick():
        if ended.error is not None:
            raise ended.error


@pytest.mark.parametrize(("make", "said"), CASES.values(), ids=CASES)
def test_what_is_no_lane_says_why(make: Callable[..., Any], said: str) -> None:
    assert said in why(make, m.vectors)


def test_sparse_gradients_are_no_lanes() -> None:
    assert "sparse" in why(Sparse, m.sentences)


def test_several_loaders_of_a_validation_are_no_lanes() -> None:
    assert "val_dataloader() gives several" in why(m.Plain, streamed)


@pytest.mark.parametrize(
    "setting",
    [
        {"max_steps": 10}, {"precision": "16-mixed"}, {"val_check_interval": 0.5},
        {"overfit_batches": 1}, {"max_time": "00:00:01"}, {"profiler": "simple"}, {"devices": 2},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_of_the_trainer_that_lanes_do_not_carry_out_is_named(
    setting: dict[str, Any],
) -> None:
    (name,) = setting
    assert why(m.Plain, m.vectors, **setting).startswith(f"trainer.{name}=")
