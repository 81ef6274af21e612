"""Dividing samples into train, validation and test parts, each class in the same shares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caviar.base.errors import UsageError, usage_error


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, shuffled; together they are all rows, each once."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def stratified_split(
    labels: NDArray[np.int64], val_fraction: float, test_fraction: float, seed: int
) -> Split:
    """Split rows by ``labels`` (shape ``(rows,)``), so that every part has every class.

    A class of n samples gives ``round(n * fraction)`` of them, and at least one, to validation and
    to test; a part whose fraction is 0 is empty. The same seed gives the same split.

    Raises:
        UsageError: a class has fewer samples than there are parts, or a fraction is impossible.
    """
    check_fractions(val_fraction, test_fraction)
    rng = np.random.default_rng(seed)
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        counts = [_share(len(rows), fraction) for fraction in (val_fraction, test_fraction)]
        if sum(counts) >= len(rows):
            raise UsageError(f"data: class {label} has {len(rows)} samples, too few to split")
        val, test, train = np.split(rows, np.cumsum(counts))
        for part, share in zip(parts, (train, val, test), strict=True):
            part.append(share)
    # Without a second shuffle the rows would stand class by class.
    return Split(*(rng.permutation(np.concatenate(part)) for part in parts))


def fold_split(
    labels: NDArray[np.int64],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int,
    fold: int,
) -> Split:
    """Split rows so that ``fold`` validates, each class in the same share of every fold.

    The test part is that of `stratified_split`; the rest is dealt out to the folds.

    Raises:
        UsageError: no such fold, or a class has fewer samples than there are folds.
    """
    if folds < 2:
        raise usage_error("data.folds", folds, "must be at least 2, or null")
    if not 0 <= fold < folds:
        raise usage_error("data.fold", fold, f"must be 0 to {folds - 1}")
    whole = stratified_split(labels, val_fraction, test_fraction, seed)
    rest = np.sort(np.concatenate([whole.train, whole.val]))
    rng = np.random.default_rng([seed, folds])
    fold_of = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(rest[labels[rest] == label])
        if len(rows) < folds:
            few = f"class {label} has {len(rows)} samples beside the test part"
            raise UsageError(f"data.folds={folds}: {few}")
        # Where the last class ended the next one goes on, so that the folds are of one size.
        fold_of[rows] = (np.arange(len(rows)) + dealt) % folds
        dealt += len(rows)
    order = rng.permutation(rest)
    inside = fold_of[order] == fold
    return Split(order[~inside], order[inside], whole.test)


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Raise UsageError unless both are shares and leave something to train on."""
    if not 0 < val_fraction < 1:
        raise usage_error("data.val_fraction", val_fraction, "must be above 0 and below 1")
    if not 0 <= test_fraction < 1:
        raise usage_error("data.test_fraction", test_fraction, "must be at least 0 and below 1")
    if val_fraction + test_fraction >= 1:
        why = f"leaves nothing to train on beside data.test_fraction={test_fraction}"
        raise usage_error("data.val_fraction", val_fraction, why)


def needed(val_fraction: float, test_fraction: float) -> int:
    """Samples that the smallest class must have at the least, for `stratified_split` to work."""
    n = 1
    while _share(n, val_fraction) + _share(n, test_fraction) >= n:
        n += 1
    return n


def _share(n: int, fraction: float) -> int:
    return max(1, round(n * fraction)) if fraction > 0 else 0
