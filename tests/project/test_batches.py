"""Claims about batches that a network cannot be trained on: told before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from caviar import UsageError
from caviar.lightning.batches import Batches
from caviar.runs.active import ActiveRun, activate
from project.check import check
from project.data.synthetic import Synthetic
from project.models.mlp import MLP
from project.recipe import recipe
from project.train import build, main

ONE = (
    "has one sample to be normalised (Expected more than 1 value per channel when training, "
    "got input size"
)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["data.batch_size=1"],
            f"data.batch_size=1: a batch {ONE} torch.Size([1, 8])): data.batch_size=2 would do",
        ),
        (
            ["data.batch_size=83", "data.drop_last=false"],
            f"data.batch_size=83: the last of 2 batches of an epoch {ONE} torch.Size([1, 8])): "
            "data.drop_last=true or data.batch_size=82 would do",
        ),
        (
            ["data.batch_size=1", "data.samples=121", "data.drop_last=false"],
            f"data.batch_size=1: a batch {ONE} torch.Size([1, 8])): data.batch_size=5 would do",
        ),
    ],
)
def test_a_batch_of_one_sample_is_refused_with_batch_norm_before_training(
    words: list[str], line: str, compose_run: Callable[..., Any], short: tuple[str, ...]
) -> None:
    config = compose_run(*short, *words)
    with activate(ActiveRun(Path(config.dir))), pytest.raises(UsageError) as told:
        main(config)
    assert str(told.value) == line
    assert list(Path(config.dir).iterdir()) == []
    with pytest.raises(UsageError) as told:
        recipe(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    assert str(told.value) == line


@pytest.mark.parametrize(
    "words",
    [
        ["data.batch_size=1", "model.batch_norm=none"],
        ["data.batch_size=1", "model.depth=0"],
        ["data.batch_size=83", "data.drop_last=true"],
        ["data.batch_size=83", "data.drop_last=false", "trainer.limit_train_batches=1"],
        ["data.batch_size=83", "data.drop_last=false", "trainer.limit_train_batches=0.5"],
        ["data.batch_size=82", "data.drop_last=false"],
        ["data.batch_size=1000", "data.drop_last=true"],
    ],
)
def test_what_has_no_such_batch_or_minds_none_is_trained(
    words: list[str], compose_run: Callable[..., Any], short: tuple[str, ...]
) -> None:
    config = compose_run(*short, *words)
    check(config)
    build(config)
    recipe(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    samples=st.integers(9, 30),
    size=st.integers(1, 30),
    drop_last=st.booleans(),
)
def test_the_batch_size_that_is_named_does_and_no_nearer_one_would(
    samples: int, size: int, drop_last: bool
) -> None:
    def refused(size: int) -> str | None:
        data = Synthetic(samples=3 * samples, batch_size=size, drop_last=drop_last)
        try:
            data.check_batches(lambda: MLP(2, 3, width=4))
        except UsageError as error:
            return str(error)
        return None

    told = refused(size)
    x, y = Synthetic(samples=3 * samples).parts.train
    sizes = [len(part) for part, _ in Batches(x, y, size, drop_last=drop_last)]
    assert (told is not None) is (1 in sizes)
    if told is not None:
        near = int(told.rpartition("data.batch_size=")[2].partition(" ")[0])
        assert refused(near) is None
        for nearer in range(1, 31):
            if abs(nearer - size) < abs(near - size):
                assert refused(nearer) is not None
