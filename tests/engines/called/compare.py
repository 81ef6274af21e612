"""The same training by a Trainer and on a lane among strangers."""

import csv
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from caviar.engines.called.stack import CalledStack
from caviar.engines.called.training import CalledTraining
from caviar.engines.experiment import Called, EarlyStopping, Experiment
from caviar.lightning.callbacks import early_stopping
from caviar.lightning.callbacks.checkpoint import BestAndLast
from caviar.lightning.callbacks.epoch_seed import EpochSeed
from caviar.lightning.callbacks.score import Score
from caviar.lightning.loggers import MetricsCSV
from caviar.lightning.quiet import quiet
from caviar.lightning.seeding import seeded
from caviar.runs.text import csv_text

SETTINGS: dict[str, Any] = {
    "max_epochs": 3,
    "accelerator": "cpu",
    "precision": "64-true",
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 0,
    "enable_model_summary": False,
    "enable_progress_bar": False,
}


class Tensors(LightningDataModule):
    """Tensors in memory, as most people write it."""

    def __init__(self, train: TensorDataset, val: TensorDataset, batch_size: int = 8, **more: Any):
        super().__init__()
        self.parts, self.batch_size, self.more = (train, val), batch_size, more

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[0], self.batch_size, shuffle=True, **self.more)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[1], 16)


@dataclass
class Came:
    """What a training came to."""

    state: dict[str, Tensor]
    best: dict[str, Tensor]
    rows: list[dict[str, str]]
    score: float | None
    best_epoch: int | None
    best_metrics: dict[str, float]


Make = Callable[..., LightningModule]


def experiment(
    make: Make, data: Callable[[], LightningDataModule], seed: int = 0, **settings: Any
) -> Experiment:
    """One training; settings of the module are those that begin with ``module__``."""
    own = {k.removeprefix("module__"): v for k, v in settings.items() if k.startswith("module__")}
    score = settings.pop("score", "best")
    of_trainer = {k: v for k, v in settings.items() if not k.startswith("module__")}
    with seeded(seed):
        module = make(**own)
    trainer = {**SETTINGS, **of_trainer}
    return Experiment(module, data(), trainer, "val/loss", "minimize", seed, score=score)


def by_trainer(
    one: Experiment,
    folder: Path,
    stopping: EarlyStopping | None = None,
    own: Iterable[Any] = (),
) -> Came:
    score = Score(one.objectives, one.direction, one.score)
    callbacks: list[Any] = [
        EpochSeed(one.seed),
        *own,
        BestAndLast(str(folder / "checkpoints"), one.metric, one.direction, score=one.score),
        score,
    ]
    if stopping:
        callbacks.append(
            early_stopping.EarlyStopping(
                stopping.metric, stopping.direction, stopping.patience, stopping.min_delta
            )
        )
    with quiet(), seeded(one.seed):
        trainer = Trainer(**one.trainer, callbacks=callbacks, logger=MetricsCSV(str(folder)))
        trainer.fit(one.module, datamodule=one.data)
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    return Came(
        dict(one.module.state_dict()),
        best,
        list(csv.DictReader((folder / "metrics.csv").read_text().splitlines())),
        score.scoring.value,
        score.scoring.epoch,
        score.scoring.metrics,
    )


def called(one: Experiment, **more: Any) -> CalledTraining:
    return CalledTraining(
        Called(
            lambda: one,
            metric=one.metric,
            direction=one.direction,
            seed=one.seed,
            score=one.score,
            **more,
        )
    )


def on_a_lane(one: CalledTraining, strangers: list[CalledTraining], lane: int = 3) -> Came:
    """Train ``one`` on a lane, while strangers come and go on the others."""
    lanes = len(strangers) + 1
    stack = CalledStack([one, *strangers], lanes)
    waiting = list(strangers)
    for free in range(lanes):
        stack.admit(one if free == min(lane, lanes - 1) else waiting.pop(0), free)
    while True:
        for ended in stack.tick():
            if ended.error is not None:
                raise ended.error
            if ended.over and ended.training is one:
                rows = list(csv.DictReader(csv_text(one.rows).splitlines()))
                return Came(
                    dict(one.module.state_dict()), stack.best_weights(ended.lane), rows,
                    one.scoring.value, one.scoring.epoch, one.scoring.metrics,
                )  # fmt: skip
            if ended.over:
                stack.release(ended.lane)


def assert_same(mine: Came, its: Came, within: float = 1e-10) -> None:
    """The same parameters, buffers, rows, score and best epoch."""
    assert mine.best_epoch == its.best_epoch
    for found, wanted in ((mine.state, its.state), (mine.best, its.best)):
        assert list(found) == list(wanted)
        for name, tensor in wanted.items():
            torch.testing.assert_close(
                found[name], tensor, rtol=within, atol=within, msg=lambda m, n=name: f"{n}: {m}"
            )
    assert [sorted(row) for row in mine.rows] == [sorted(row) for row in its.rows]
    for found, wanted in zip(mine.rows, its.rows, strict=True):
        for name, text in wanted.items():
            close = found[name] == text or math.isclose(
                float(found[name]), float(text), rel_tol=1e-6, abs_tol=1e-7
            )
            assert close, (name, found[name], text)
    assert sorted(mine.best_metrics) == sorted(its.best_metrics)
    for name, value in its.best_metrics.items():
        assert math.isclose(mine.best_metrics[name], value, rel_tol=1e-6, abs_tol=1e-7), name


def assert_same_on_a_lane(
    make: Make,
    data: Callable[[], LightningDataModule],
    folder: Path,
    vary: Callable[[int], dict[str, Any]] = lambda n: {},
    callbacks: Callable[[int], dict[str, Any]] = lambda n: {},
    within: float = 1e-10,
    **settings: Any,
) -> tuple[Came, Came]:
    """A trial by a Trainer and on a lane among 7 strangers, which ``vary`` makes so: the same.

    Args:
        callbacks: makes them for each trial; that of the trial itself is number 5.
    """
    own = callbacks(5)
    its = by_trainer(experiment(make, data, 5, **settings), folder, own=own.values())
    others = [
        called(
            experiment(make, data, 100 + n, **{**settings, "max_epochs": 2 + n % 3, **vary(n)}),
            callbacks=lambda n=n: callbacks(n),
        )
        for n in range(7)
    ]
    one = called(experiment(make, data, 5, **settings), callbacks=lambda: callbacks(5))
    mine = on_a_lane(one, others)
    assert_same(mine, its, within)
    return mine, its
