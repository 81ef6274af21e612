"""Claims about the data sets that come without a file."""

from typing import Any

import pytest
import torch

from caviar import UsageError
from caviar.lightning.in_memory.data import InMemoryData, Parts
from caviar.lightning.in_memory.module import DataModule
from caviar.tables.preprocessing import Column, Preprocessing
from project.data.digits import Digits, read_digits
from project.data.synthetic import Synthetic


def test_digits_are_1797_images_of_64_pixels_from_0_to_1() -> None:
    parts = Digits().parts
    x = torch.cat([parts.train[0], parts.val[0], parts.test[0]])
    assert x.shape == (1797, 64)
    assert (x.min(), x.max()) == (0, 1)
    assert len(parts.preprocessing.classes) == 10


@pytest.mark.parametrize("shape", ["blobs", "spirals"])
def test_synthetic_data_has_the_size_asked_for(shape: str) -> None:
    data = Synthetic(shape, samples=200, features=5, classes=4)
    parts = data.parts
    assert sum(len(part[0]) for part in (parts.train, parts.val, parts.test)) == 200
    assert data.num_features == 5
    assert data.num_classes == 4
    assert torch.bincount(parts.train[1]).tolist() == [34] * 4


def test_the_data_seed_makes_the_data_and_the_training_seed_does_not() -> None:
    first = Synthetic(seed=0).parts.train[0]
    assert first.equal(Synthetic(seed=1).parts.train[0])
    assert not first.equal(Synthetic(data_seed=1).parts.train[0])


def test_the_training_seed_decides_the_order_of_the_samples() -> None:
    first, again, other = (
        next(iter(DataModule(Digits(seed=s)).train_dataloader()))[1] for s in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_the_split_seed_alone_decides_the_split() -> None:
    first = Digits(seed=0).parts.test[1]
    assert first.equal(Digits(seed=1).parts.test[1])
    assert not first.equal(Digits(split_seed=1).parts.test[1])


def test_overfit_validates_on_the_samples_it_trains_on() -> None:
    parts = Digits(overfit=20).parts
    assert len(parts.train[0]) == 20
    assert parts.val[0].equal(parts.train[0])
    assert len(Digits().parts.train[0]) > 1000  # the shared data is as it was


def test_balanced_weights_give_every_class_the_same_say() -> None:
    data = Digits()
    counts = torch.bincount(data.parts.train[1])
    said = counts * torch.tensor(data.class_weights("balanced"))
    torch.testing.assert_close(said, torch.full((10,), len(data.parts.train[1]) / 10))


@pytest.mark.parametrize("wrong", [[1, 2], [1] * 9 + ["one"], [1] * 9 + [-1], [], "equal", 3])
def test_wrong_class_weights_are_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"class_weights=.* a list of 10 numbers, one a class"):
        Digits().class_weights(wrong)


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(UsageError, match=r"data\.shape=spiral: .* did you mean spirals\?"):
        Synthetic("spiral")


def test_without_a_test_part_there_is_nothing_to_test() -> None:
    with pytest.raises(UsageError, match=r"data\.test_fraction=0"):
        DataModule(Synthetic(test_fraction=0.0)).test_dataloader()


def test_the_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(as_frame=True), Digits(val_fraction=0.15, test_fraction=0.15)
    pixels, labels = read_digits()
    assert (pixels == theirs.data.to_numpy()).all()
    assert (labels == theirs.target.to_numpy()).all()
    preprocessing = ours.parts.preprocessing
    assert [column.name for column in preprocessing.columns] == list(theirs.data.columns)
    features = torch.from_numpy(preprocessing.features(theirs.data))
    parts = [*ours.parts.train[0], *ours.parts.val[0], *ours.parts.test[0]]
    seen = {tuple(row.tolist()) for row in parts}
    assert seen == {tuple(row.tolist()) for row in features}


class Mine(InMemoryData):
    """Ten samples of three classes, with the targets that a test gives it."""

    def __init__(self, targets: torch.Tensor) -> None:
        super().__init__(batch_size=2)
        self.targets = targets

    def key(self) -> int:
        return id(self.targets)

    def load(self) -> Parts:
        part = torch.zeros(10, 4), self.targets
        columns = [Column(f"x{index}") for index in range(4)]
        return Parts(part, part, part, Preprocessing(columns, classes=["a", "b", "c"]))


MULTI_HOT = torch.tensor([[1.0, 1.0, 0.0]] * 10)


@pytest.mark.parametrize(
    "targets",
    [
        MULTI_HOT,
        torch.zeros(10),
        torch.full((10,), 3),
        torch.full((10,), -100),
        torch.zeros(10, dtype=torch.bool),
        MULTI_HOT.long(),
        torch.tensor([[2.0, -1.0, 0.0]] * 10),
    ],
)
def test_targets_that_are_no_classes_are_refused(targets: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="Mine has targets to train on that are no classes: "):
        _ = Mine(targets).parts


@pytest.mark.parametrize("targets", [torch.arange(10) % 3, MULTI_HOT / 2])
def test_classes_and_their_probabilities_are_taken(targets: torch.Tensor) -> None:
    assert Mine(targets).parts.train[1] is targets
