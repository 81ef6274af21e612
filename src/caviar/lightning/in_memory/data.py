"""The base of every data set in memory: its parts, loaded once.

Nothing of Lightning is imported here: a worker that trains on lanes alone starts in half the time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from caviar.base.errors import UsageError, usage_error
from caviar.lightning.seeding import seeded
from caviar.tables.preprocessing import Preprocessing
from caviar.tables.split import Split, fold_split, stratified_split

Part = tuple[Tensor, Tensor]

_memory: dict[Hashable, "Parts"] = {}
_MOST_REMEMBERED = 4


@dataclass(frozen=True)
class Parts:
    """Data ready for training: each part is features ``(n, features)`` and targets ``(n,)``.

    Targets are classes, or numbers in standard deviations from the training part's mean; of labels 0 and
    1, ``(n, labels)``.
    """

    train: Part
    val: Part
    test: Part
    preprocessing: Preprocessing

    @cached_property
    def files(self) -> dict[str, str]:
        """What a run folder keeps of it, name -> text."""
        return self.preprocessing.files()


@dataclass(kw_only=True, eq=False)
class InMemoryData(ABC):
    """The base of the data sets: a subclass says in `load` what its parts are, and no more.

    A Trainer takes it as `caviar.lightning.in_memory.module.DataModule`, which makes its batches.

    Args:
        batch_size: samples a training batch.
        eval_batch_size: samples a batch of validation and test: few large ones are fast.
        val_fraction: share of the samples that scores a run.
        test_fraction: share that training and sweeps never touch.
        split_seed: seed of the split; its own, so that other seeds train on the same samples.
        seed: seed of the shuffling.
        drop_last: leave out a last training batch that is not full. The shuffling makes it other
            samples every epoch; a last batch of one or two would upset batch norm.
        folds: with ``fold``, validate on one of so many parts of all that is not the test part, in
            place of ``val_fraction``; the test part is the same as without.
        fold: which one, from 0.
        overfit: train and validate on the same first so many training samples. A network that
            cannot learn these has a bug.
    """

    batch_size: int = 64
    eval_batch_size: int = 8192
    val_fraction: float = 0.15
    test_fraction: float = 0.15
    split_seed: int = 0
    seed: int = 0
    drop_last: bool = True
    overfit: int | None = None
    folds: int | None = None
    fold: int | None = None

    @property
    def fractions(self) -> tuple[float, float]:
        """The shares of the validation and the test part."""
        return self.val_fraction, self.test_fraction

    def key(self) -> Hashable:
        """What `load` depends on beside the split: a subclass's own settings."""
        return ()

    @abstractmethod
    def load(self) -> Parts:
        """Read the data and split it."""

    def split(self, labels: NDArray[np.int64]) -> Split:
        """The rows of each part, by `stratified_split`."""
        if not self.folds:
            return stratified_split(labels, *self.fractions, self.split_seed)
        if self.fold is None:
            raise UsageError(
                f"data.folds={self.folds}: one training is of one fold: say which, data.fold=0"
            )
        return fold_split(labels, *self.fractions, self.split_seed, self.folds, self.fold)

    def divide(
        self, x: NDArray[Any], labels: NDArray[np.int64], preprocessing: Preprocessing
    ) -> Parts:
        """Split arrays of shapes ``(samples, features)`` and ``(samples,)`` into parts."""
        return parts_of(x, labels, self.split(labels), preprocessing)

    @cached_property
    def parts(self) -> Parts:
        """The data; loaded when first asked for, once a process for the same settings.

        The tensors are shared by all runs of the process, so nobody may change them in place.
        """
        split = (self.fractions, self.split_seed, self.folds, self.fold)
        key = (type(self), split, self.key())
        if key not in _memory:
            while len(_memory) >= max(_MOST_REMEMBERED, self.folds or 0):
                _memory.pop(next(iter(_memory)))
            _memory[key] = self.load()
        parts = _memory[key]
        if self.overfit:
            few = tuple(tensor[: self.overfit] for tensor in parts.train)
            parts = replace(parts, train=few, val=few)
        _check(parts, type(self).__name__)
        return parts

    def datamodule(self) -> Any:
        """What a Trainer takes, its data read."""
        from caviar.lightning.in_memory.module import DataModule

        module = DataModule(self)
        module.setup()
        return module

    @classmethod
    def saved(cls, folder: Path) -> Any:
        """What the run in ``folder`` knows of its data without reading them."""
        from caviar.lightning.in_memory.saved import SavedData

        return SavedData(Preprocessing.read(folder))

    @property
    def num_features(self) -> int:
        """Length of a sample's vector of features."""
        return self.parts.train[0].shape[1]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.parts.preprocessing.classes)

    def check_batches(self, network: Callable[[], nn.Module], limit: float | None = None) -> None:
        """Refuse batches of one sample where the network cannot be trained on one: batch norm cannot.

        Args:
            network: makes one to try it on.
            limit: ``trainer.limit_train_batches``.

        Raises:
            UsageError: an epoch has such a batch, its last one most likely.
        """
        samples = len(self.parts.train[0])
        size = min(self.batch_size, samples)
        rest = 0 if self.drop_last else samples % size
        if 1 not in (size, rest):
            return
        batches = samples // size + (rest > 0)
        limit = 1.0 if limit is None else limit
        if size > 1 and (limit if isinstance(limit, int) else int(batches * limit)) < batches:
            return  # the last one is left out
        with seeded(0, gpu=False):
            try:
                network().train()(self.parts.train[0][:1])
            except ValueError as error:
                if samples == 1:
                    raise UsageError(f"data: one sample to train on: {error}") from error
                where = "a batch" if size == 1 else f"the last of {batches} batches of an epoch"
                whole = [n for n in range(2, samples + 1) if self.drop_last or samples % n != 1]
                near = f"data.batch_size={min(whole, key=lambda n: abs(n - size))}"
                remedy = near if size == 1 else f"data.drop_last=true or {near}"
                why = f"{where} has one sample to be normalised ({error}): {remedy} would do"
                raise usage_error("data.batch_size", self.batch_size, why) from error

    def class_weights(self, asked: Any) -> list[float] | None:
        """A factor on the loss of each class, as ``model.loss.class_weights`` asks.

        Args:
            asked: None for none; ``balanced``: inverse to a class's share of the training part; or
                the factors themselves.

        Raises:
            UsageError: none of these, or not one number a class.
        """
        if asked is None:
            return None
        if asked == "balanced":
            labels = self.parts.train[1]
            counts = torch.bincount(labels, minlength=self.num_classes)
            return (len(labels) / (self.num_classes * counts)).tolist()
        given = asked if isinstance(asked, list) else []
        factors = [float(w) for w in given if type(w) in (int, float) and w >= 0]
        if not len(given) == len(factors) == self.num_classes:
            why = f"must be null, balanced, or a list of {self.num_classes} numbers, one a class"
            raise usage_error("model.loss.class_weights", asked, why)
        return factors


def _check(parts: Parts, name: str) -> None:
    """Refuse what no training can be made of."""
    classes, labels = parts.preprocessing.classes, parts.preprocessing.labels
    is_number = parts.preprocessing.number is not None
    for part, (x, y) in (("train", parts.train), ("val", parts.val)):
        if len(x) != len(y):
            raise UsageError(
                f"data: {name} has {len(x)} samples to {part} on, and {len(y)} targets"
            )
        if not len(x):
            raise UsageError(f"data: {name} has no sample to {part} on")
        binary = y.shape[1:] == (len(classes),) and bool(((y == 0) | (y == 1)).all())
        if labels and not binary:
            why = f"0 or 1 for each of {len(classes)} labels, shape (samples, {len(classes)})"
            raise UsageError(f"data: {name} has targets to {part} on that are no labels; {why}")
        if not (is_number or labels) and len(classes) > 1 and not _are_classes(y, len(classes)):
            kind = f"{str(y.dtype).removeprefix('torch.')} of shape {tuple(y.shape)}"
            why = f"0 to {len(classes) - 1}, or for each class a probability, which add up to 1"
            raise UsageError(
                f"data: {name} has targets to {part} on that are no classes: {kind}; {why}"
            )
    if not (is_number or labels) and len(classes) < 2:
        raise UsageError(f"data: {name} has the classes {classes}: two are needed")


def _are_classes(y: Tensor, classes: int) -> bool:
    """Whether cross-entropy over so many classes takes these targets for what they say."""
    if y.ndim == 1:
        whole = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
        return whole and bool(y.min() >= 0) and bool(y.max() < classes)
    shares = y.ndim == 2 and y.shape[1] == classes and y.is_floating_point()
    return shares and bool((y >= 0).all()) and bool(((y.sum(1) - 1).abs() < 1e-3).all())


def parts_of(
    x: NDArray[Any], targets: NDArray[Any], split: Split, preprocessing: Preprocessing
) -> Parts:
    """The rows of ``x`` and of ``targets`` that ``split`` names, as tensors."""
    # Copied: scikit-learn and pandas may hand out arrays that torch could not write to.
    features = torch.from_numpy(np.array(x, dtype=np.float32))
    kind = np.int64 if preprocessing.number is None else np.float32
    target = torch.from_numpy(np.array(targets, dtype=kind))
    rows = [torch.from_numpy(part) for part in (split.train, split.val, split.test)]
    train, val, test = ((features[part], target[part]) for part in rows)
    return Parts(train, val, test, preprocessing)
