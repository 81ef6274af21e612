"""What the tests of lanes share: a run by solo and the same run on a lane among strangers."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from caviar.base import hydra_versions
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.native.loop import Native
from caviar.engines.stacked.backend import ByTorch
from caviar.runs.active import ActiveRun, activate
from caviar.runs.text import csv_text
from project.recipe import recipe
from project.train import CONFIGS, build, train

TINY = (
    "data=synthetic", "data.samples=100", "data.features=4", "data.noise=1.0", "data.batch_size=16",
    "trainer.max_epochs=5", "trainer.accelerator=cpu", "model.width=9",
)  # fmt: skip
"""A run of a few milliseconds, on data that cannot be learned by heart."""


@dataclass
class Result:
    """What a training came to."""

    weights: dict[str, Tensor]
    rows: list[dict[str, str]]
    score: float | None
    best_epoch: int | None
    best: dict[str, Tensor]


def composed(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), **hydra_versions.BASE):
        return compose("train", overrides=[f"dir='{folder}'", f"outputs='{folder}'", *overrides])


@cache
def by_solo(*overrides: str) -> Result:
    with TemporaryDirectory() as folder:
        return _by_solo(Path(folder), *overrides)


def _by_solo(folder: Path, *overrides: str) -> Result:
    config = config_in(folder, *overrides)
    experiment = build(config)
    with activate(ActiveRun(folder)) as run:
        score = train(config, experiment)
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    return Result(
        weights=dict(experiment.module.network.state_dict()),  # type: ignore[union-attr]
        rows=list(csv.DictReader((folder / "metrics.csv").read_text().splitlines())),
        score=score,
        best_epoch=run.facts["best_epoch"],
        best={name.removeprefix("network."): tensor for name, tensor in best.items()},
    )


_NOWHERE = "/no/where"


@cache
def _plain(overrides: tuple[str, ...]) -> str:
    config = composed(Path(_NOWHERE), *TINY, *overrides)
    return json.dumps(OmegaConf.to_container(config, resolve=True))


def config_in(folder: Path, *overrides: str) -> DictConfig:
    """The config of a run in a folder; to compose it takes longer than the run, so it is done once."""
    return OmegaConf.create(json.loads(_plain(overrides).replace(_NOWHERE, str(folder))))


def training(*overrides: str, **values: Any) -> Training:
    """A training on no lane yet; ``values`` are put into its config (``optimizer__lr=0.1``)."""
    config = json.loads(_plain(overrides))
    for name, value in values.items():
        *parents, last = name.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    return Training(recipe(config))


def on_a_lane(
    one: Training,
    strangers: list[Training],
    lane: int = 3,
    lanes: int = 8,
    tick: int = 0,
    native: bool = False,
) -> Result:
    """Train ``one`` on a lane, admitted at a tick, while strangers come and go on the others."""
    stack = Stack([one, *strangers], lanes)
    if native:
        why_not = stack.use(Native)
        assert why_not is None, why_not
    waiting = list(strangers)
    done: Result | None = None
    while done is None:
        for free in stack.free:
            if free != lane and waiting:
                stack.admit(waiting.pop(0), free)
        if tick == 0:
            stack.admit(one, lane)
        tick -= 1
        for ended in stack.tick():
            if ended.training is one and ended.over:
                done = Result(
                    weights=stack.last_weights(lane),
                    rows=csv_rows(one),
                    score=one.scoring.value,
                    best_epoch=one.scoring.epoch,
                    best=stack.best_weights(lane),
                )
                assert ended.error is None
            elif ended.over:
                stack.release(ended.lane)
    return done


def csv_rows(one: Training) -> list[dict[str, str]]:
    """The rows of a training as its metrics.csv has them."""
    return list(csv.DictReader(csv_text(one.rows).splitlines()))


def assert_same(found: Result, wanted: Result, within: float) -> None:
    """The same weights, running statistics, metrics rows and best epoch."""
    assert found.best_epoch == wanted.best_epoch
    for mine, its in ((found.weights, wanted.weights), (found.best, wanted.best)):
        assert list(mine) == list(its)
        numbers = [name for name, tensor in its.items() if tensor.is_floating_point()]
        wanted_one = torch.cat([its[name].double().flatten() for name in numbers])
        found_one = torch.cat([mine[name].double().flatten() for name in numbers])
        assert (found_one - wanted_one).norm() <= within * wanted_one.norm()
        assert all(torch.equal(mine[name], its[name]) for name in its if name not in numbers)
    assert [list(row) for row in found.rows] == [list(row) for row in wanted.rows]
    for mine, its in zip(found.rows, wanted.rows, strict=True):
        for name, text in its.items():
            # Counts among 15 samples jump where two logits are all but equal; losses do not.
            loose = max(within, 1e-5)
            if text == mine[name] == "":
                continue
            assert math.isclose(float(mine[name]), float(text), rel_tol=loose, abs_tol=loose), name


def strangers(count: int, *overrides: str) -> list[Training]:
    """Other trainings of the same kind: other rates, widths, seeds and lengths."""
    return [
        training(
            *overrides,
            seed=100 + n,
            optimizer__lr=0.001 * 1.7**n,
            trainer__max_epochs=2 + n % 4,
            model__loss__label_smoothing=n % 3 * 0.1,
        )
        for n in range(count)
    ]


def around_steps(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[int, Callable[[], None]], None]
) -> None:
    """Let ``wrap`` take a stack's steps, given how many lanes it has and what takes them."""
    for backend in (ByTorch, Native):

        def steps(self: Any, *arguments: Any, own: Any = backend.steps) -> None:
            wrap(self._tensors.lanes, lambda: own(self, *arguments))

        monkeypatch.setattr(backend, "steps", steps)
